// Colos and agents: what state they are in, what they can, and what went wrong last. Administrators see
// all agents, attached to any coordinator or to none, and can change them.
import { batch, html, nothing, repeat, signal } from '../core/html.js';
import { ask } from '../core/http.js';
import { loaded } from '../core/modules.js';
import { href, route, setParams } from '../core/route.js';
import { may } from '../core/session.js';
import { count, whole } from '../core/words.js';
import { attachedTable, fleetTable, tags } from './fleet_agents.js';
import { map } from './map.js';
import { problem } from './problem.js';

const STATES = {
  up: 'up',
  draining: 'draining: its agents take no new traces',
  down: 'down: no agent is attached',
};
const AGAIN_MS = 15_000;
const SOON_MS = 1_500;
const FOLLOWED_MS = 15_000;

/** The fleet, read again every few seconds while the tab is shown. */
export function view({ account }) {
  const administrates = may('admin', account);
  const stopping = new AbortController();
  const actions = signal(null); // The buttons of administrators, once their module is loaded.
  const colos = signal(null);
  const agents = signal([]);
  const failed = signal(null);
  let timer = 0;
  let followedUntil = 0; // A change takes a while: an agent drains, attaches again, is cut off.
  let turn = 0; // Of the last reading; an answer to an earlier one is out of date.

  load();

  async function load() {
    clearTimeout(timer);
    const own = ++turn;
    try {
      const { signal } = stopping;
      if (administrates && !actions.value) {
        const module = await loaded(() => import('./fleet_actions.js'));
        actions.value = module.actions(changed);
      }
      const path = administrates ? '/fleet/agents' : '/agents';
      const [found, listed] = await Promise.all([ask('/colos', { signal }), ask(path, { signal })]);
      if (own !== turn) return;
      batch(() => {
        colos.value = found.result;
        agents.value = listed.result;
        failed.value = null;
      });
    } catch (error) {
      if (!stopping.signal.aborted && own === turn) failed.value = error;
    }
    if (stopping.signal.aborted || own !== turn) return;
    const pause = performance.now() < followedUntil ? SOON_MS : AGAIN_MS;
    timer = setTimeout(() => (document.hidden ? next() : load()), pause);
  }

  /** Follow what a change leads to. */
  function changed() {
    followedUntil = performance.now() + FOLLOWED_MS;
    load();
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
    const wantedAgents = agents.value.filter((each) =>
      has(each.colo, each.agent_id ?? each.id, each.host, each.version, each.state ?? '', ...tags(each)));
    const attached = agents.value.filter((each) => each.attached_since).length;
    const up = all.filter(({ state }) => state === 'up').length;
    return html`
      <h1>Fleet</h1>
      ${failed.value ? problem(failed.value, { again: load }) : nothing}
      ${colos.value
        ? html`<p>${whole(up)} of ${count(all.length, 'colo')} up, with ${count(attached, 'agent')} attached.</p>`
        : failed.value ? nothing : html`<p class="quiet">Loading…</p>`}
      ${map(shown, new Set(), (name) => setParams({ q: name }))}
      <p><label for="fleet-search">Search</label>
        <input id="fleet-search" type="search" .value=${route.value.params.q ?? ''} placeholder="name, city, state, tag"
          @input=${(event) => setParams({ q: event.target.value })}>
        ${actions.value?.enrolButton() ?? nothing}</p>
      ${colos.value ? coloTable(shown, actions.value?.coloButton) : nothing}
      ${agents.value.length ? agentTable(wantedAgents) : nothing}
      ${actions.value?.dialog() ?? nothing}
    `;
  }

  function agentTable(found) {
    return administrates ? fleetTable(found, (agent) => actions.value?.agentButton(agent)) : attachedTable(found);
  }
}

function coloTable(colos, button) {
  return html`
    <h2 id="colos">Colos</h2>
    <div class="wide" tabindex="0" role="region" aria-labelledby="colos">
      <table class="fleet">
        <thead><tr>
          <th scope="col">Colo</th><th scope="col">City</th><th scope="col">State</th>
          <th scope="col" class="number">Agents</th><th scope="col">Families</th><th scope="col">Packet types</th>
          ${button ? html`<th scope="col">Change</th>` : nothing}
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
              ${button ? html`<td>${button(colo)}</td>` : nothing}
            </tr>`)}
        </tbody>
      </table>
    </div>
    ${colos.length ? nothing : html`<p class="quiet">No colo matches.</p>`}
  `;
}
