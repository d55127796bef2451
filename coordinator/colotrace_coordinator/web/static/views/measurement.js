// A measurement: its head, what bad rows share, and its tabs. It fills while the measurement runs.
import { batch, computed, html, nothing, signal } from '../core/html.js';
import { announce } from '../core/announce.js';
import { follow } from '../core/events.js';
import { ask } from '../core/http.js';
import { loaded } from '../core/modules.js';
import { choiceOf, go, href, route } from '../core/route.js';
import { may } from '../core/session.js';
import { count, lasted, whole, when } from '../core/words.js';
import { Measurement } from '../model/measurement.js';
import { paramsOf } from '../model/request.js';
import { matrixView } from './matrix.js';
import { problem } from './problem.js';
import { rowsView } from './row.js';
import { shareMenu } from './share.js';

const TABS = { matrix: 'Matrix', graph: 'Graph', rows: 'Rows' };
const ENDS = {
  complete: 'complete',
  partial: 'incomplete, since its coordinator ended before it did',
  cancelled: 'cancelled',
};
const QUARTERS = 4;
const CLOCK_MS = 20_000; // "2 min ago" is not for ever.

/** One measurement. */
export function view({ ids: [id] }) {
  const stopping = new AbortController();
  const measurement = new Measurement();
  const connection = signal('');
  const failed = signal(null);
  const fates = signal(new Map());
  const said = signal('');
  const graph = signal(null);
  const missing = signal(null); // Why the graph's module is not there.
  const tabs = { matrix: matrixView(id, measurement), rows: rowsView(id, measurement) };
  let watched = false; // Whether it ran when it was opened.
  let quarter = 0;
  const clock = signal(0);
  const ticking = setInterval(() => (clock.value += 1), CLOCK_MS);

  watch();

  function watch() {
    failed.value = null;
    follow(id, { event, state, signal: stopping.signal });
  }

  function event(kind, data) {
    measurement.apply(kind, data);
    if (kind === 'start') watched ||= measurement.running; // It comes again after a restart.
    if (kind === 'row' && watched) tellProgress();
    if (kind === 'end' && watched) announce(`The measurement is ${ENDS[measurement.summary.status]}`);
  }

  function tellProgress() {
    const { finished, rows } = measurement;
    const reached = Math.floor((QUARTERS * finished) / rows.size);
    if (reached === quarter || reached === QUARTERS) return;
    quarter = reached;
    announce(`${whole(finished)} of ${count(rows.size, 'row')} have ended`);
  }

  function state(name, error) {
    if (name === 'lost') announce('The connection to the coordinator is lost');
    if (name === 'resumed') announce('The coordinator answers again');
    batch(() => {
      connection.value = name;
      failed.value = error ?? null;
    });
  }

  /** What bad rows of a target share: asked for once, when the measurement has ended. */
  async function loadFate(target) {
    if (fates.peek().has(target)) return;
    fates.peek().set(target, null);
    try {
      const query = new URLSearchParams({ by: 'asn', target });
      const { result } = await ask(`/${id}/graph?${query}`, { signal: stopping.signal });
      fates.value = new Map(fates.peek()).set(target, result.fate);
    } catch (error) {
      // The sentences are an addition: the rows say the same one by one.
      if (!stopping.signal.aborted) fates.value = new Map(fates.peek()).set(target, { error });
    }
  }

  async function cancel() {
    await told(ask(`/${id}?if=running`, { method: 'DELETE' }));
  }

  /** Compare with the newest earlier measurement of the same target. */
  async function compare(target) {
    const query = new URLSearchParams({ target, until: measurement.summary.began_at, per_page: 10 });
    const answer = await told(ask(`?${query}`, { signal: stopping.signal }));
    if (!answer) return;
    const before = answer.result.find((each) => each.id < id);
    if (before) go(href('compare', { ids: [before.id, id], params: { target } }));
    else said.value = `No earlier measurement of ${target} is kept.`;
  }

  async function told(request) {
    try {
      said.value = '';
      return await request;
    } catch (error) {
      if (!stopping.signal.aborted) said.value = error.message;
      return null;
    }
  }

  async function loadGraph() {
    try {
      const { view } = await loaded(() => import('./graph.js'));
      if (!stopping.signal.aborted && !graph.peek()) graph.value = view(route.peek(), measurement);
    } catch (error) {
      missing.value = error;
    }
  }

  function stop() {
    stopping.abort();
    clearInterval(ticking);
    graph.peek()?.stop?.();
    for (const tab of Object.values(tabs)) tab.stop?.();
  }

  const title = computed(() => {
    measurement.version.value;
    return listed(measurement.summary?.targets ?? []);
  });

  return { title, template, stop };

  function template() {
    measurement.version.value;
    clock.value;
    const { summary } = measurement;
    if (failed.value) return problem(failed.value, { again: watch, heading: 'Measurement' });
    if (!summary)
      return connection.value === 'lost' ? lost('The measurement is shown') : html`<p class="quiet">Loading the measurement…</p>`;
    if (!summary.colos.length) return html`<p class="notice">This measurement has no rows.</p>`;
    const { params } = route.value;
    const chosen = Math.max(0, summary.targets.indexOf(params.target));
    const tab = choiceOf(TABS, params.view, 'matrix');
    return html`
      <h1>${summary.targets[chosen]}</h1>
      ${connection.value === 'lost' ? lost('What is shown is from before; it goes on by itself') : nothing}
      ${head(summary, chosen)}
      ${measurement.remarks(null).map((words) => html`<p class="notice">${words}</p>`)}
      ${said.value ? html`<p class="notice" role="alert">${said.value}</p>` : nothing}
      ${summary.targets.length > 1 ? targets(summary.targets, chosen, unreached) : nothing}
      ${measurement.running || tab === 'graph' ? nothing : fate(summary.targets[chosen])}
      <nav class="tabs" aria-label="Ways to show it">
        ${Object.entries(TABS).map(
          ([name, words]) => html`<a href=${link({ view: name })} aria-current=${name === tab ? 'page' : nothing}>${words}</a>`,
        )}
      </nav>
      ${tab === 'graph' ? graphTab() : tabs[tab].template(chosen)}
    `;
  }

  /** How many rows of a target have ended without an answer from it. */
  function unreached(target) {
    return measurement.of(target).filter(({ done, summary }) => done && !summary?.packet_count).length;
  }

  function graphTab() {
    if (missing.value) return problem(missing.value);
    if (!graph.value) loadGraph();
    return graph.value ? graph.value.template() : html`<p class="quiet">Loading…</p>`;
  }

  function head(summary, chosen) {
    const { account } = route.value;
    const target = summary.targets[chosen];
    return html`
      <div class="measured">
        <p>${count(summary.colos.length, 'colo')} · ${status(summary)} · ${when(summary.began_at)}
          · <span class="quiet">${optionsInWords(summary.options)}</span></p>
        <div class="actions">
          ${measurement.running && may('write', account)
            ? html`<button type="button" @click=${cancel}>Cancel</button>`
            : html`<a href=${href('trace', { params: paramsOf(summary) })}>Trace again</a>`}
          <a href=${href('pair', { ids: [id], params: { target } })}>Over time</a>
          <button type="button" @click=${() => compare(target)}>Compare with the one before</button>
          ${shareMenu(summary, route.value.params.view === 'graph' ? graph.value?.svgText : null)}
        </div>
      </div>
    `;
  }

  function status(summary) {
    if (!measurement.running) {
      const { failed, unreached } = summary.rows;
      return html`<b>${ENDS[summary.status]}</b>${summary.took_ms === null ? nothing : ` in ${lasted(summary.took_ms)}`}
        ${failed ? html` · <span class="bad">${count(failed, 'row')} failed</span>` : nothing}
        ${unreached ? html` · <span class="bad">${count(unreached, 'row')} not reached</span>` : nothing}`;
    }
    const { finished, rows } = measurement;
    return html`<b>running</b>: ${whole(finished)} of ${count(rows.size, 'row')} ended
      <progress max=${rows.size} .value=${finished} aria-label="Rows that have ended"></progress>`;
  }

  function fate(target) {
    const found = fates.value.get(target);
    if (measurement.summary.colos.length < 2) return nothing;
    if (found === undefined) loadFate(target);
    if (!found) return nothing;
    if (found.error) return html`<p class="quiet">What bad rows share is not known: ${found.error.message}</p>`;
    const findings = found.findings.filter((each) => each.target === target);
    const bad = found.bad.filter((each) => each.target === target);
    if (!findings.length && !bad.length) return nothing;
    return html`
      <section class="fate" aria-label="What bad rows share">
        <ul>
          ${findings.map((each) => html`<li><b>${each.in_words}.</b></li>`)}
          ${findings.length ? nothing : bad.map((each) => html`<li>${each.in_words}.</li>`)}
        </ul>
        ${findings.length ? html`<a href=${link({ view: 'graph' })}>Show on the graph</a>` : nothing}
      </section>
    `;
  }
}

/** A link to another choice of this view. */
function link(changes) {
  const { view, ids, params } = route.value;
  return href(view, { ids, params: { ...params, ...changes } });
}

function targets(names, chosen, unreached) {
  return html`
    <nav class="targets" aria-label="Targets">
      ${names.map((name, number) => {
        const rows = unreached(number);
        return html`<a href=${link({ target: name, colo: undefined, hop: undefined })}
          aria-current=${number === chosen ? 'true' : nothing}>${name}${rows ? html` <span class="bad">${whole(rows)} not reached</span>` : nothing}</a>`;
      })}
    </nav>
  `;
}

function lost(then) {
  return html`<p class="notice" role="status">The coordinator does not answer. ${then} once it answers again.</p>`;
}

function listed(names) {
  return names.length > 1 ? `${names[0]} and ${names.length - 1} more` : (names[0] ?? 'Measurement');
}

function optionsInWords({ packet_type: type, port, packets_per_ttl: packets, max_ttl: most, multipath, family }) {
  return [
    `${type.toUpperCase()}${port ? ` port ${port}` : ''}`,
    multipath ? 'load-balanced paths' : `${count(packets, 'packet')} a hop`,
    `${most} hops at most`,
    family ? `IPv${family}` : '',
  ]
    .filter(Boolean)
    .join(', ');
}
