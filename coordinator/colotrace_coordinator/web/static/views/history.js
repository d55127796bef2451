// Measurements, newest first, with filters that are in the URL.
import { batch, effect, html, nothing, repeat, signal } from '../core/html.js';
import { ask } from '../core/http.js';
import { go, href, route, setParams } from '../core/route.js';
import { count, lasted, stamp } from '../core/words.js';
import { problem } from './problem.js';

const PER_PAGE = 50;
const FILTERS = {
  target: { label: 'Target', placeholder: 'web.example.com' },
  colo: { label: 'Colo or code', placeholder: 'den01' },
  since: { label: 'Since', type: 'datetime-local' },
  until: { label: 'Until', type: 'datetime-local' },
  packet_type: { label: 'Packet type', choices: ['icmp', 'udp', 'tcp', 'gre', 'gre+icmp'] },
  outcome: { label: 'Outcome', choices: ['complete', 'unreached', 'errors', 'unfinished'] },
};
const OUTCOMES = {
  complete: 'all reached',
  unreached: 'targets unreached',
  errors: 'errors',
  unfinished: 'not finished',
};

/** The list. Two measurements that are ticked can be compared. */
export function view() {
  let stopping = new AbortController();
  const found = signal(null);
  const cursor = signal('');
  const failed = signal(null);
  const ticked = signal([]);
  let asked = null;
  let next = ''; // The cursor that was asked for last.
  // Asked anew when a filter changes, and not when anything else of the URL does.
  const unwatch = effect(() => {
    const query = queryOf(route.value.params);
    if (route.value.view !== 'history' || query === asked) return;
    asked = query;
    stopping.abort();
    stopping = new AbortController();
    load(query, stopping.signal);
  });

  async function load(query, signal, after = '') {
    if (after && after === next) return; // A double click asks once.
    next = after;
    try {
      const from = after && `&cursor=${after}`;
      const { result, info } = await ask(`?per_page=${PER_PAGE}${query}${from}`, { signal });
      batch(() => {
        found.value = after ? [...found.value, ...result] : result;
        cursor.value = info.cursor ?? '';
        failed.value = null;
      });
    } catch (error) {
      next = '';
      if (!signal.aborted) failed.value = error;
    }
  }

  function stop() {
    unwatch();
    stopping.abort();
  }

  function tick(id, on) {
    const others = ticked.value.filter((each) => each !== id);
    ticked.value = on ? [...others.slice(-1), id] : others;
  }

  return { title: 'History', template, stop };

  function template() {
    const { params } = route.value;
    const filtered = Object.keys(FILTERS).some((name) => params[name]);
    return html`
      <h1>History</h1>
      <form class="filters" @submit=${(event) => event.preventDefault()}>
        ${Object.entries(FILTERS).map(([name, filter]) => field(name, filter, params[name]))}
        ${filtered ? html`<button type="button" @click=${() => go(href('history'))}>Clear</button>` : nothing}
      </form>
      ${failed.value ? problem(failed.value, { again: () => load(asked, stopping.signal) }) : nothing}
      ${found.value ? table() : failed.value ? nothing : html`<p class="quiet">Loading…</p>`}
      ${cursor.value
        ? html`<p><button type="button" @click=${() => load(asked, stopping.signal, cursor.value)}>Show more</button></p>`
        : nothing}
    `;
  }

  function table() {
    if (!found.value.length)
      return html`<p class="quiet">No measurement is kept that matches. <a href=${href('trace')}>Trace something</a>.</p>`;
    return html`
      ${compareBar()}
      <div class="wide" tabindex="0" role="region" aria-label="Measurements">
        <table class="history">
          <thead><tr>
            <th scope="col"><span class="unseen">Compare</span></th><th scope="col">Begun</th><th scope="col">Targets</th>
            <th scope="col">From</th><th scope="col">Type</th><th scope="col">Outcome</th>
            <th scope="col" class="number">Rows</th><th scope="col" class="number">Took</th>
          </tr></thead>
          <tbody>${repeat(found.value, ({ id }) => id, line)}</tbody>
        </table>
      </div>
    `;
  }

  function compareBar() {
    const [first, second] = [...ticked.value].sort(); // Ids are in the order of time.
    if (!second) return html`<p class="quiet">Tick two measurements to compare them.</p>`;
    return html`<p><a href=${href('compare', { ids: [first, second] })}>Compare the two ticked measurements</a></p>`;
  }

  function line(each) {
    const { asked, failed, unreached } = each.rows;
    const bad = [failed && `${failed} failed`, unreached && `${unreached} unreached`].filter(Boolean);
    return html`
      <tr>
        <td><input type="checkbox" aria-label="Compare the one begun at ${each.began_at}"
          .checked=${ticked.value.includes(each.id)} @change=${(event) => tick(each.id, event.target.checked)}></td>
        <td><a href=${href('m', { ids: [each.id] })}>${stamp(each.began_at)}</a></td>
        <td>${listed(each.targets, 3)}</td>
        <td>${listed(each.colos, 4)}</td>
        <td>${each.options.packet_type}</td>
        <td>${outcome(each)}</td>
        <td class="number">${asked}${bad.length ? html`<br><span class="quiet">${bad.join(', ')}</span>` : nothing}</td>
        <td class="number">${each.took_ms === null ? '' : lasted(each.took_ms)}</td>
      </tr>
    `;
  }
}

function outcome({ status, outcome }) {
  if (status === 'running') return html`<span class="state up">running</span>`;
  const words = OUTCOMES[outcome] ?? outcome;
  const kind = outcome === 'complete' ? 'up' : outcome === 'unreached' ? 'draining' : 'down';
  return html`<span class="state ${kind}">${words}</span>${status === 'complete' ? nothing : html` <span class="quiet">${status}</span>`}`;
}

function listed(names, most) {
  const more = names.length - most;
  return html`${names.slice(0, most).join(', ')}${more > 0 ? html` <span class="quiet">and ${count(more, 'more', 'more')}</span>` : nothing}`;
}

function field(name, { label, choices, type = 'text', placeholder = '' }, value = '') {
  const set = (event) => setParams({ [name]: event.target.value.trim() });
  return html`
    <div class="field">
      <label for="filter-${name}">${label}</label>
      ${choices
        ? html`<select id="filter-${name}" @change=${set}>
            <option value="">any</option>
            ${choices.map((each) => html`<option value=${each} ?selected=${each === value}>${OUTCOMES[each] ?? each.toUpperCase()}</option>`)}
          </select>`
        : html`<input id="filter-${name}" type=${type} placeholder=${placeholder} .value=${value} @change=${set}
            spellcheck="false">`}
    </div>
  `;
}

/** The filters as the API takes them: times of the user's zone as seconds. */
function queryOf(params) {
  return Object.keys(FILTERS)
    .filter((name) => params[name])
    .map((name) => {
      const value = FILTERS[name].type ? Math.floor(Date.parse(params[name]) / 1_000) : params[name];
      return `&${name}=${encodeURIComponent(value)}`;
    })
    .join('');
}
