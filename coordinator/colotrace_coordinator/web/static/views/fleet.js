// Colos and agents: what state they are in, what they can, and what went wrong last.
import { batch, html, nothing, repeat, signal } from '../core/html.js';
import { ask } from '../core/http.js';
import { href, route, setParams } from '../core/route.js';
import { count, when, whole } from '../core/words.js';
import { map } from './map.js';
import { problem } from './problem.js';

const STATES = {
  up: 'up',
  draining: 'draining: its agents take no new traces',
  down: 'down: no agent is attached',
};
const AGAIN_MS = 15_000;

/** The fleet, read again every few seconds while the tab is shown. */
export function view() {
  const stopping = new AbortController();
  const colos = signal(null);
  const agents = signal([]);
  const failed = signal(null);
  let timer = 0;

  load();

  async function load() {
    clearTimeout(timer);
    try {
      const { signal } = stopping;
      const [found, attached] = await Promise.all([ask('/colos', { signal }), ask('/agents', { signal })]);
      batch(() => {
        colos.value = found.result;
        agents.value = attached.result;
        failed.value = null;
      });
    } catch (error) {
      if (!stopping.signal.aborted) failed.value = error;
    }
    if (!stopping.signal.aborted) timer = setTimeout(() => (document.hidden ? next() : load()), AGAIN_MS);
  }

  function next() {
    document.addEventListener('visibilitychange', load, { once: true, signal: stopping.signal });
  }

  function stop() {
    stopping.abort();
    clearTimeout(timer);
  }

  return { title: 'Fleet', template, stop };

  function template() {
    const wanted = (route.value.params.q ?? '').toLowerCase();
    const has = (...texts) => texts.join(' ').toLowerCase().includes(wanted);
    const all = colos.value ?? [];
    const shown = all.filter(({ name, city, state }) => has(name, city, state));
    const attached = agents.value.filter((each) => has(each.colo, each.id, each.version, ...tags(each)));
    const up = all.filter(({ state }) => state === 'up').length;
    return html`
      <h1>Fleet</h1>
      ${failed.value ? problem(failed.value, { again: load }) : nothing}
      ${colos.value
        ? html`<p>${whole(up)} of ${count(all.length, 'colo')} up, with ${count(agents.value.length, 'agent')} attached.</p>`
        : failed.value ? nothing : html`<p class="quiet">Loading…</p>`}
      ${map(shown, new Set(), (name) => setParams({ q: name }))}
      <p><label for="fleet-search">Search</label>
        <input id="fleet-search" type="search" .value=${route.value.params.q ?? ''} placeholder="name, city, state, tag"
          @input=${(event) => setParams({ q: event.target.value })}></p>
      ${colos.value ? coloTable(shown) : nothing}
      ${agents.value.length ? agentTable(attached) : nothing}
    `;
  }
}

const tags = (agent) => Object.entries(agent.tags).map(([key, value]) => `${key}=${value}`);

function coloTable(colos) {
  return html`
    <h2 id="colos">Colos</h2>
    <div class="wide" tabindex="0" role="region" aria-labelledby="colos">
      <table class="fleet">
        <thead><tr>
          <th scope="col">Colo</th><th scope="col">City</th><th scope="col">State</th>
          <th scope="col" class="number">Agents</th><th scope="col">Families</th><th scope="col">Packet types</th>
        </tr></thead>
        <tbody>
          ${repeat(colos, ({ name }) => name, (colo) => html`
            <tr>
              <th scope="row"><a href=${href('trace', { params: { from: colo.name } })}>${colo.name}</a></th>
              <td>${colo.city}</td>
              <td><span class="state ${colo.state}">${STATES[colo.state] ?? colo.state}</span></td>
              <td class="number">${colo.agents}</td>
              <td>${colo.families.join(', ')}</td>
              <td>${colo.packet_types.join(', ')}</td>
            </tr>`)}
        </tbody>
      </table>
    </div>
    ${colos.length ? nothing : html`<p class="quiet">No colo matches.</p>`}
  `;
}

function agentTable(agents) {
  return html`
    <h2 id="agents">Agents</h2>
    <div class="wide" tabindex="0" role="region" aria-labelledby="agents">
      <table class="fleet">
        <thead><tr>
          <th scope="col">Colo</th><th scope="col">Agent</th><th scope="col">Version</th><th scope="col">Attached</th>
          <th scope="col">Families</th><th scope="col">Tags</th><th scope="col">Last trouble</th>
        </tr></thead>
        <tbody>
          ${repeat(agents, ({ id }) => id, (agent) => html`
            <tr>
              <th scope="row">${agent.colo}</th>
              <td class="mono">${agent.id}</td>
              <td>${agent.version}</td>
              <td>${when(agent.attached_since)}</td>
              <td>${agent.families.join(', ')}</td>
              <td>${tags(agent).join(', ')}</td>
              <td>${trouble(agent.last_trouble)}</td>
            </tr>`)}
        </tbody>
      </table>
    </div>
    ${agents.length ? nothing : html`<p class="quiet">No agent matches.</p>`}
  `;
}

/** "TIME: WORDS", as the API has it. */
function trouble(text) {
  if (!text) return html`<span class="quiet">none</span>`;
  const [at, ...words] = text.split(': ');
  return html`${words.join(': ')} <span class="quiet">(${when(at)})</span>`;
}
