// What an administrator does with an agent, a colo or join tokens: a dialog with a step for each action.
import { batch, html, nothing, signal } from '../core/html.js';
import { announce } from '../core/announce.js';
import { ask } from '../core/http.js';
import { copiedNote, copy } from './snippets.js';

const ID = 'fleet-dialog';
const below = (kind, name) => `/fleet/${kind}/${encodeURIComponent(name)}`;

/** By name: what an action is called, what it does, and the request. `fields` are asked for. */
const OF_AGENT = {
  drain: {
    label: 'Drain',
    words: 'It gets no new jobs. Those that it has go on.',
    request: (agent) => [below('agents', agent.id), { method: 'PATCH', body: { drained: true } }],
    done: 'is drained',
  },
  undrain: {
    label: 'Give it jobs again',
    words: 'It takes new jobs again.',
    request: (agent) => [below('agents', agent.id), { method: 'PATCH', body: { drained: false } }],
    done: 'takes jobs again',
  },
  rename: {
    label: 'Rename',
    words: 'It attaches again under the new name, and its jobs go on. What was measured keeps the old name.',
    fields: (agent) => ({ agent_id: ['Id', agent.agent_id], colo: ['Colo', agent.colo], city: ['City', agent.city] }),
    request: (agent, given) => [below('agents', agent.id), { method: 'PATCH', body: changed(given, agent) }],
    done: 'is renamed',
  },
  revoke: {
    label: 'Revoke',
    words: 'Its stream ends within a second, and its certificate is of no use from then on. The host has to join anew.',
    request: (agent) => [`${below('agents', agent.id)}/revoke`, { method: 'POST' }],
    done: 'is revoked',
    bad: true,
  },
  forget: {
    label: 'Forget',
    words: 'It is revoked, and listed no more. Another host can join under its name.',
    request: (agent) => [below('agents', agent.id), { method: 'DELETE' }],
    done: 'is forgotten',
    bad: true,
  },
};
const OF_COLO = {
  rename: {
    label: 'Rename',
    words: 'Its agents attach again under the new name, and their jobs go on. What was measured keeps the old name.',
    fields: (colo) => ({ name: ['Name', colo.name], city: ['City', colo.city] }),
    request: (colo, given) => [below('colos', colo.name), { method: 'PATCH', body: changed(given, colo) }],
    done: 'is renamed',
  },
  forget: {
    label: 'Forget',
    words: 'It is forgotten within a minute, if no agent of it is attached.',
    request: (colo) => [below('colos', colo.name), { method: 'DELETE' }],
    done: 'is forgotten',
    bad: true,
  },
};
const ENROL = {
  label: 'Enrol',
  words: 'This makes a line to paste on the probe hosts of a colo. It enrols their agents, and runs them.',
  fields: () => ({
    colo: ['Colo', '', 'den01'],
    city: ['City', '', 'Denver, CO, US'],
    uses: ['How many hosts', '1'],
    hours: ['Valid for hours', '1'],
  }),
  request: (_, { colo, city, uses, hours }) => [
    '/fleet/join-tokens',
    { method: 'POST', body: { colo, city, uses: Number(uses), expires_s: Math.round(Number(hours) * 3_600) } },
  ],
};

/** Only what differs: a city that is sent is set, too. */
function changed(given, before) {
  const found = Object.entries(given).filter(([name, value]) => value !== (before[name] ?? ''));
  return Object.fromEntries(found.length ? found : Object.entries(given).slice(0, 1));
}

/** What can be done with an agent in its state. */
function possible(agent) {
  if (agent.state === 'unenrolled') return agent.attached_since ? [] : ['forget'];
  if (agent.state === 'revoked') return ['forget'];
  return [agent.state === 'drained' ? 'undrain' : 'drain', 'rename', 'revoke', 'forget'];
}

/**
 * The dialog and the buttons that open it.
 * @param {() => void} reload reads the fleet again, after a change
 */
export function actions(reload) {
  const subject = signal(null); // {name, of, choices}: whom the dialog is about.
  const step = signal(null); // The action to be confirmed.
  const busy = signal(false);
  const failed = signal(null);
  const line = signal(''); // The line to paste on probe hosts.

  function open(about, first = null) {
    batch(() => {
      subject.value = about;
      step.value = first;
      failed.value = null;
      line.value = '';
    });
    // After the frame in which the dialog is there.
    requestAnimationFrame(() => document.getElementById(ID)?.showModal());
  }

  function choose(action) {
    batch(() => {
      step.value = action;
      failed.value = null;
    });
    requestAnimationFrame(() => document.querySelector(`#${ID} [data-first]`)?.focus());
  }

  function close() {
    document.getElementById(ID)?.close();
  }

  async function perform(event) {
    event.preventDefault();
    if (busy.value) return;
    const given = Object.fromEntries(new FormData(event.target));
    for (const name of Object.keys(given)) given[name] = given[name].trim();
    const { name, of } = subject.value;
    const action = step.value;
    busy.value = true;
    try {
      const { result } = await ask(...action.request(of, given));
      failed.value = null;
      if (action === ENROL) {
        line.value = result.command;
        announce('The line is made');
      } else {
        close();
        announce(`${name} ${action.done}`);
      }
      reload();
    } catch (error) {
      failed.value = error;
    }
    busy.value = false;
  }

  return {
    agentButton: (agent) => {
      const choices = possible(agent).map((each) => OF_AGENT[each]);
      const name = `${agent.colo}/${agent.agent_id}`;
      return choices.length
        ? html`<button type="button" aria-label="Change ${name}" @click=${() => open({ name, of: agent, choices })}>Change…</button>`
        : nothing;
    },
    coloButton: (colo) => html`<button type="button" aria-label="Change ${colo.name}"
      @click=${() => open({ name: colo.name, of: colo, choices: Object.values(OF_COLO) })}>Change…</button>`,
    enrolButton: () => html`<button type="button"
      @click=${() => open({ name: 'Enrol agents', of: null, choices: [] }, ENROL)}>Enrol agents…</button>`,
    dialog,
  };

  function dialog() {
    return html`
      <dialog id=${ID} aria-labelledby="fleet-dialog-name" @close=${() => (subject.value = null)}>
        ${subject.value ? content(subject.value) : nothing}
      </dialog>
    `;
  }

  function content({ name, of, choices }) {
    return html`
      <h2 id="fleet-dialog-name">${name}</h2>
      ${failed.value ? html`<p class="field-error" role="alert">${failed.value.message}</p>` : nothing}
      ${line.value ? made() : step.value ? confirmation(step.value, of, choices) : html`
        <ul class="actions">
          ${choices.map((action) => html`<li>
            <button type="button" @click=${() => choose(action)}>${action.label}…</button> ${action.words}
          </li>`)}
        </ul>
        <p class="choices"><button type="button" @click=${close}>Close</button></p>`}
    `;
  }

  function confirmation(action, of, choices) {
    const fields = Object.entries(action.fields?.(of) ?? {});
    return html`
      <form @submit=${perform} aria-busy=${busy.value}>
        <p>${action.words}</p>
        ${fields.map(([name, [label, value, placeholder]], at) => html`
          <p class="field"><label for="fleet-${name}">${label}</label>
            <input id="fleet-${name}" name=${name} .value=${value} placeholder=${placeholder ?? nothing}
              autocomplete="off" spellcheck="false" ?data-first=${!at}></p>`)}
        <p class="choices">
          <button class="main ${action.bad ? 'bad' : ''}" ?disabled=${busy.value} ?data-first=${!fields.length}>${action.label}</button>
          <button type="button" @click=${() => (choices.length ? choose(null) : close())}>${choices.length ? 'Back' : 'Close'}</button>
        </p>
      </form>
    `;
  }

  function made() {
    return html`
      <p>Paste this on each probe host, as root. It is shown once.</p>
      <pre tabindex="0" aria-label="Line to paste">${line.value}</pre>
      <p class="choices">
        <button type="button" class="main" @click=${copyLine}>Copy</button>
        <button type="button" @click=${close}>Close</button> ${copiedNote()}
      </p>
    `;
  }

  async function copyLine() {
    try {
      await copy(line.value);
    } catch (error) {
      failed.value = error;
    }
  }
}
