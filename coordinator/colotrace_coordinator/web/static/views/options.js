// The options of a trace, each with its bounds and what it is for.
import { html, nothing } from '../core/html.js';
import { OPTIONS } from '../model/request.js';

const NAMES = { 0: 'any', 4: 'IPv4', 6: 'IPv6' };

/**
 * @param {Record<string, string>} params
 * @param {Record<string, string>} faults
 * @param {(name: string, value: string) => void} set
 */
export function options(params, faults, set) {
  const changed = Object.keys(OPTIONS).filter((name) => params[name]);
  return html`
    <details class="options" ?open=${Object.keys(faults).some((name) => name in OPTIONS)}>
      <summary>Options${changed.length ? html` <span class="quiet">(${changed.length} changed)</span>` : nothing}</summary>
      <div class="option-list">
        ${Object.entries(OPTIONS).map(([name, option]) => field(name, option, params[name], faults[name], set))}
      </div>
    </details>
  `;
}

function field(name, option, value, fault, set) {
  const bounds = option.least === undefined ? '' : `, ${option.least} to ${option.most}`;
  return html`
    <div class="option">
      ${control(name, option, value, fault, set)}
      ${fault
        ? html`<p class="field-error hint" id="${name}-fault">${fault}</p>`
        : html`<p class="quiet hint" id="${name}-help">${option.help}${bounds}.</p>`}
    </div>
  `;
}

function control(name, { label, choices, least, most, standard }, value, fault, set) {
  const described = `${name}-${fault ? 'fault' : 'help'}`;
  if (name === 'multipath')
    return html`<label><input type="checkbox" .checked=${value === 'true'} aria-describedby=${described}
      @change=${(event) => set(name, event.target.checked ? 'true' : '')}> ${label}</label>`;
  if (choices)
    return html`<label for=${name}>${label}</label>
      <select id=${name} aria-describedby=${described} aria-invalid=${!!fault}
        @change=${(event) => set(name, event.target.value === standard ? '' : event.target.value)}>
        ${choices.map((each) => html`<option value=${each} ?selected=${each === (value ?? standard)}>
          ${name === 'family' ? NAMES[each] : each.toUpperCase()}</option>`)}
      </select>`;
  return html`<label for=${name}>${label}</label>
    <input id=${name} type="number" inputmode="numeric" min=${least} max=${most} placeholder=${standard}
      .value=${value ?? ''} aria-describedby=${described} aria-invalid=${!!fault}
      @input=${(event) => event.target.validity.badInput || set(name, event.target.value)}>`;
}
