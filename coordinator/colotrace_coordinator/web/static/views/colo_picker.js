// Choosing colos: by search, by code, by list with their state, or on a map.
import { html, nothing, repeat, signal } from '../core/html.js';
import { count } from '../core/words.js';
import { code, isNamed, words } from '../model/request.js';
import { map } from './map.js';

const STATES = { up: 'up', draining: 'draining: takes no traces', down: 'down: no agent is attached' };
const MOST_SHOWN = 60;
/** There is room for the list beside the form. */
const WIDE = matchMedia('(min-width: 64rem)');

const search = signal('');

/**
 * The field with the entries as text.
 * @param {string} from the chosen names, codes and selectors
 * @param {{fault?: string, unknown: string[], set: (from: string) => void}} told
 */
export function coloField(from, { fault, unknown, set }) {
  const problem = fault ?? (unknown.length ? `Not known: ${unknown.join(', ')}.` : '');
  return html`
    <div class="field">
      <label for="from">From</label>
      <input id="from" .value=${from} placeholder="all colos" autocomplete="off" spellcheck="false"
        aria-describedby=${problem ? 'from-fault' : 'from-help'} aria-invalid=${!!problem}
        @change=${(event) => set(words(event.target.value).join(' '))}>
      ${problem
        ? html`<p class="field-error hint" id="from-fault">${problem}</p>`
        : html`<p class="quiet hint" id="from-help">Names (den01), codes (den), and selectors that narrow them:
            country:DE, city:Denver, tag:provider=x, limit:5. Empty: all colos.</p>`}
    </div>
  `;
}

/**
 * All colos to choose from.
 * @param {{name: string, city: string, state: string, location: [number, number] | null}[]} colos
 * @param {string} from
 * @param {(from: string) => void} set
 */
export function coloPicker(colos, from, set) {
  const entries = words(from);
  const selected = new Set(
    colos.filter(({ name }) => entries.some((each) => isNamed(name, each))).map(({ name }) => name),
  );
  const toggle = (name) => set(toggled(entries, name).join(' '));
  return html`
    <details class="picker" ?open=${WIDE.matches}>
      <summary>Choose from ${count(colos.length, 'colo')}</summary>
      ${map(colos, selected, toggle)}
      ${codes(colos, entries, toggle)}
      ${list(colos, selected, toggle)}
    </details>
  `;
}

/** With the entry removed, or added. */
function toggled(entries, entry) {
  return entries.includes(entry) ? entries.filter((each) => each !== entry) : [...entries, entry];
}

function codes(colos, entries, toggle) {
  const sizes = new Map();
  for (const { name } of colos) sizes.set(code(name), (sizes.get(code(name)) ?? 0) + 1);
  const several = [...sizes].filter(([, size]) => size > 1);
  if (!several.length) return nothing;
  return html`
    <fieldset class="codes">
      <legend>All colos of a code</legend>
      ${several.map(([name, size]) => html`<button type="button" aria-pressed=${entries.includes(name)}
        @click=${() => toggle(name)}>${name} <span class="quiet">${size}</span></button>`)}
    </fieldset>
  `;
}

function list(colos, selected, toggle) {
  const wanted = search.value.toLowerCase();
  const found = colos.filter(({ name, city }) => `${name} ${city}`.toLowerCase().includes(wanted));
  return html`
    <label for="colo-search">Search</label>
    <input id="colo-search" type="search" .value=${search.value} placeholder="name or city"
      @input=${(event) => (search.value = event.target.value)}>
    <ul class="colos">
      ${repeat(found.slice(0, MOST_SHOWN), ({ name }) => name, ({ name, city, state }) => html`
        <li><label><input type="checkbox" .checked=${selected.has(name)} @change=${() => toggle(name)}>
          <b>${name}</b> ${city} ${state === 'up' ? nothing : html`<span class="state ${state}">${STATES[state]}</span>`}
        </label></li>`)}
    </ul>
    ${found.length > MOST_SHOWN
      ? html`<p class="quiet">${count(found.length - MOST_SHOWN, 'more colo')}: search for them.</p>`
      : nothing}
    ${found.length ? nothing : html`<p class="quiet">No colo has this in its name or city.</p>`}
  `;
}
