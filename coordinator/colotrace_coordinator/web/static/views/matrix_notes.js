// What is around the matrix: its choices, the cell that is pointed at in words, and the legend.
import { html } from '../core/html.js';
import { setParams } from '../core/route.js';
import { count, ms, percent } from '../core/words.js';
import { signed } from './matrix_cells.js';

export const ALIGNS = { target: 'the target', source: 'the source' };
const SHADE_NAMES = { added: 'RTT added at the hop', rtt: 'RTT', loss: 'loss' };

/** Where paths are aligned, and what shades the cells. */
export function choices(align, shade) {
  return html`
    <div class="choices">
      ${choice('align', 'Align at', ALIGNS, align)} ${choice('shade', 'Shade by', SHADE_NAMES, shade)}
    </div>
  `;
}

function choice(name, label, names, chosen) {
  return html`
    <label>${label}
      <select @change=${(event) => setParams({ [name]: event.target.value })}>
        ${Object.entries(names).map(([value, words]) => html`<option value=${value} ?selected=${value === chosen}>${words}</option>`)}
      </select>
    </label>
  `;
}

/** A cell, or a row, in words. */
export function detail(at) {
  if (!at) return 'Point at a cell to see its addresses, RTT and loss. A click, or the Enter key, opens the row.';
  const { line, cell } = at;
  const { row } = line;
  if (!cell) return html`<b>${row.name}</b> ${row.city}`;
  const { ttl, name, ip, asn, rtt, added, sent, lost, carries, others } = cell;
  const parts = [
    ip ? [name, ip, asn].filter(Boolean).join(' ') : 'no answer',
    others ? count(others, 'further router') : '',
    rtt === null ? '' : `RTT ${ms(rtt)}`,
    added === null ? '' : `${signed(added)} ms`,
    sent ? `${lost} of ${count(sent, 'packet')} lost` : '',
    carries === false ? 'the loss does not carry on' : '',
  ];
  return html`<b>${row.name}</b> hop ${ttl}: ${parts.filter(Boolean).join(', ')}`;
}

/** @param {import('./matrix_cells.js').Look} look */
export function legend({ shade, steps }) {
  const words = shade === 'loss' ? percent : (step) => `${step.toLocaleString()} ms`;
  return html`
    <p class="matrix-legend">
      <span>Shade: ${SHADE_NAMES[shade]}, from</span>
      ${steps.map((step, number) => html`<span class="key heat-${number + 1}">${words(step)}</span>`)}
      <span class="key limited">loss that does not carry on: the router limits its answers</span>
      <span class="key silent">no answer</span>
      <span>Equal colours down a column: the same router. A name with +1: one more router at this hop.</span>
    </p>
  `;
}
