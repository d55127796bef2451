// The agents of the fleet as a table: those of this coordinator, or for administrators all of them.
import { html, nothing, repeat } from '../core/html.js';
import { bytes, percent, when } from '../core/words.js';

export const tags = (agent) => Object.entries(agent.tags ?? {}).map(([key, value]) => `${key}=${value}`);

/** @param {object[]} agents that are attached */
export function attachedTable(agents) {
  return table(
    agents,
    ['Colo', 'Agent', 'Version', 'Attached', 'Families', 'CPU', 'Memory', 'Tags', 'Last trouble'],
    (agent) => html`
      <th scope="row">${agent.colo}</th>
      <td>${named(agent.id, agent.host)}</td>
      <td>${agent.version}</td>
      <td>${when(agent.attached_since)}</td>
      <td>${agent.families.join(', ')}</td>
      ${usage(agent)}
      <td>${tags(agent).join(', ')}</td>
      <td>${trouble(agent.last_trouble)}</td>`,
  );
}

const STATES = {
  enrolled: 'enrolled',
  drained: 'drained: it takes no new traces',
  expired: 'its certificate has ended',
  revoked: 'revoked',
  unenrolled: 'not enrolled',
};

/** @param {object[]} agents of the whole fleet; `button` makes what changes one */
export function fleetTable(agents, button) {
  return table(
    agents,
    ['Colo', 'Agent', 'State', 'Attached', 'Version', 'Families', 'CPU', 'Memory', 'Certificate ends', 'Last trouble', 'Change'],
    (agent) => html`
      <th scope="row">${agent.colo}</th>
      <td>${named(agent.agent_id, agent.host)}</td>
      <td><span class="state ${agent.state}">${STATES[agent.state] ?? agent.state}</span></td>
      <td>${attached(agent)}</td>
      <td>${agent.version}</td>
      <td>${agent.families.join(', ')}</td>
      ${usage(agent)}
      <td>${agent.certificate_ends_at ? when(agent.certificate_ends_at) : '–'}</td>
      <td>${trouble(agent.last_trouble)}</td>
      <td>${button(agent)}</td>`,
  );
}

function table(agents, head, row) {
  const numbers = ['CPU', 'Memory'];
  return html`
    <h2 id="agents">Agents</h2>
    <div class="wide" tabindex="0" role="region" aria-labelledby="agents">
      <table class="fleet agents">
        <thead><tr>
          ${head.map((name) => html`<th scope="col" class=${numbers.includes(name) ? 'number' : nothing}>${name}</th>`)}
        </tr></thead>
        <tbody>${repeat(agents, ({ colo, id }) => `${colo}/${id}`, (agent) => html`<tr>${row(agent)}</tr>`)}</tbody>
      </table>
    </div>
    ${agents.length ? nothing : html`<p class="quiet">No agent matches.</p>`}
  `;
}

/** The host's name only says something if the id does not have it. */
function named(id, host) {
  const other = host && !id.startsWith(host);
  return html`<span class="mono">${id}</span>${other ? html` <span class="quiet">on ${host}</span>` : nothing}`;
}

function attached({ attached_since: since, last_seen_at: seen }) {
  if (since) return when(since);
  return seen ? html`no, seen ${when(seen)}` : 'never';
}

function usage({ cpu_millis: cpu, memory_bytes: memory }) {
  return html`
    <td class="number">${cpu == null ? '–' : percent(cpu / 1_000)}</td>
    <td class="number">${memory == null ? '–' : bytes(memory)}</td>`;
}

/** "TIME: WORDS", as the API has it. */
function trouble(text) {
  if (!text) return html`<span class="quiet">none</span>`;
  const [at, ...words] = text.split(': ');
  return html`${words.join(': ')} <span class="quiet">(${when(at)})</span>`;
}
