// The path graph of a measurement: what is chosen and loaded; see graph_stage.js for the picture.
import { computed, effect, html, nothing, signal, untracked } from '../core/html.js';
import { ask } from '../core/http.js';
import { choiceOf, href, route, setParams } from '../core/route.js';
import { count } from '../core/words.js';
import { drawing } from '../model/graph.js';
import { told } from './graph_notes.js';
import { stage } from './graph_stage.js';
import { problem } from './problem.js';

const FOLDS = { asn: 'AS', city: 'City of the colos', address: 'Nothing: each address' };

/**
 * The tab "Graph" of a measurement.
 * @param {import('../core/route.js').Route} from
 * @param {import('../model/measurement.js').Measurement} measurement
 */
export function view({ ids: [id] }, measurement) {
  const loading = signal(false);
  const failed = signal(null);
  const loaded = signal(null); // {answer, info}
  let stopping = new AbortController();
  let key = '';

  const visible = computed(() => route.value.params.view === 'graph');
  const ended = computed(() => (measurement.version.value, !measurement.running));
  const names = computed(() => (measurement.version.value, measurement.summary?.targets ?? []));

  const choice = () => {
    const { by, target, targets, colos, open = '' } = route.value.params;
    const all = targets === 'all' && names.value.length > 1;
    const one = names.value.includes(target) ? target : names.value[0];
    return { by: choiceOf(FOLDS, by, 'asn'), target: all ? '' : one, all, apart: colos === 'apart', open };
  };

  const paths = stage({
    link: (colo, { paths: [first] }) => href('m', { ids: [id], params: { view: 'matrix', target: choice().target || first.target, colo } }),
    open: ({ sources: [{ name }] }) => setParams({ open: [choice().open, name].filter(Boolean).join(','), node: undefined }),
  });

  async function load(isWhole) {
    const { by, target } = choice();
    const wanted = JSON.stringify([by, target, isWhole]);
    if (wanted === key) return;
    key = wanted;
    stopping.abort();
    stopping = new AbortController();
    const { signal: stop } = stopping;
    loading.value = true;
    failed.value = null;
    try {
      const query = new URLSearchParams({ by, ...(target && { target }) });
      const { result, info } = await ask(`/${id}/graph?${query}`, { signal: stop });
      loaded.value = { answer: result, info };
    } catch (error) {
      if (stop.aborted) return;
      failed.value = error;
      key = '';
    }
    loading.value = false;
  }

  function again() {
    key = '';
    load(ended.value);
  }

  function cities() {
    const { summary, rows } = measurement;
    return new Map([...rows.values()].map((each) => [summary.colos[each.colo], each.city]));
  }

  const stops = [
    effect(() => {
      choice();
      const { value } = ended; // At the end it is loaded again.
      if (visible.value) untracked(() => load(value));
    }),
    effect(() => {
      const { apart, open } = choice();
      const { value } = loaded;
      if (value) untracked(() => show(value.answer, apart, open));
    }),
  ];

  let drawn = '';
  function show(answer, apart, open) {
    // Other parameters of the route change nothing here.
    const wanted = [apart, open].join();
    if (drawn.answer === answer && drawn.wanted === wanted) return;
    drawn = { answer, wanted };
    paths.draw(drawing(answer, { apart, open: new Set(open.split(',')) }), cities());
  }

  return {
    template,
    /** Makes a picture that needs no page; null while nothing is drawn. */
    get svgText() {
      return paths.svgText(`Paths to ${loaded.value?.answer.targets.join(', ')}`);
    },
    stop() {
      stopping.abort();
      paths.stop();
      for (const each of stops) each();
    },
  };

  function template() {
    const { value } = loaded;
    return html`
      <section class="graph" aria-label="Path graph">
        ${controls(value)}
        ${failed.value ? problem(failed.value, { again }) : nothing}
        ${value ? html`${told(value.answer, choose)} ${paths.template()}` : nothing}
        ${!value && !failed.value ? html`<p class="quiet">Loading the graph…</p>` : nothing}
      </section>
    `;
  }

  function controls(value) {
    const { by, all, apart } = choice();
    return html`
      <div class="graph-controls">
        <label>Fold by
          <select @change=${(event) => setParams({ by: event.target.value, node: undefined, finding: undefined })}>
            ${Object.entries(FOLDS).map(([name, words]) => html`<option value=${name} ?selected=${name === by}>${words}</option>`)}
          </select>
        </label>
        ${names.value.length > 1 ? check('All targets', all, { targets: all ? undefined : 'all' }) : nothing}
        ${check('Each colo apart', apart, { colos: apart ? undefined : 'apart' })}
        ${paths.zoomButtons()} ${redraw(value)}
      </div>
    `;
  }

  function check(words, checked, changes) {
    return html`<label><input type="checkbox" .checked=${checked}
      @change=${() => setParams({ ...changes, node: undefined, finding: undefined })}> ${words}</label>`;
  }

  /** A graph that moved at each event could not be read: it is drawn again on request, and at the end. */
  function redraw(value) {
    if (loading.value) return html`<span class="quiet">Loading…</span>`;
    if (!value || ended.value) return nothing;
    const more = measurement.finished - value.info.rows.finished;
    return html`<button type="button" @click=${again}>${more > 0 ? `Redraw with ${count(more, 'more row')}` : 'Redraw'}</button>`;
  }

  function choose(finding) {
    setParams({ finding, node: undefined });
    paths.light();
  }
}
