// The rows that differ as one table: what each has lost (−) and gained (+), by TTL.
import { html, nothing, repeat } from '../core/html.js';
import { figure, ms, percent } from '../core/words.js';
import { short } from '../model/difference.js';

const ANSWERS = {
  fails: 'fails now',
  works: 'works again',
  unreached: 'target no longer answers',
  reached: 'target answers again',
};

/**
 * @param {{columns: number, lines: import('../model/difference.js').Line[]}} matrix
 * @param {(line: {target: string, colo: string}) => string} link to the row in the later measurement
 */
export function differenceMatrix({ columns, lines }, link) {
  if (!lines.length) return html`<p class="quiet">No row differs.</p>`;
  const several = new Set(lines.map(({ target }) => target)).size > 1;
  return html`
    <div class="wide" tabindex="0" role="region" aria-label="Rows that differ">
      <table class="difference">
        <thead><tr>
          <th scope="col">Colo</th>${several ? html`<th scope="col">Target</th>` : nothing}
          <th scope="col" class="number">RTT</th><th scope="col" class="number">Loss</th>
          ${Array.from({ length: columns }, (_, hop) => html`<th scope="col">${hop + 1}</th>`)}
        </tr></thead>
        <tbody>
          ${repeat(lines, ({ target, colo }) => `${target} ${colo}`, (line) => row(line, { columns, several, link: link(line) }))}
        </tbody>
      </table>
    </div>
    ${columns ? html`<p class="quiet">− was there before, + is new, → has moved. Columns are TTLs.</p>` : nothing}
  `;
}

function row({ target, colo, change, cells }, { columns, several, link }) {
  const { rtt, loss, answer, address } = change;
  return html`
    <tr>
      <th scope="row"><a href=${link}>${colo}</a>${answer ? html`<br><span class="answer">${ANSWERS[answer] ?? answer}</span>` : nothing}
        ${address ? html`<br><span class="quiet">${address.map((each) => each || 'no address').join(' → ')}</span>` : nothing}</th>
      ${several ? html`<td>${target}</td>` : nothing}
      <td class="number">${rtt ? html`<b>${signed(rtt.change_ms)}</b><br><span class="quiet">${figure(rtt.before_ms)} → ${ms(rtt.after_ms)}</span>` : nothing}</td>
      <td class="number">${loss ? html`${part(loss.before_lost, loss.before_sent)} → ${part(loss.after_lost, loss.after_sent)}` : nothing}</td>
      ${Array.from({ length: columns }, (_, hop) => cell(cells[hop]))}
    </tr>
  `;
}

function cell(found) {
  if (!found) return html`<td></td>`;
  return html`<td>
    ${found.went.map((hop) => entry('−', 'went', hop))}
    ${found.appeared.map((hop) => entry('+', 'appeared', hop))}
    ${found.moved.map((hop) => entry('→', 'moved', hop, `moved from hop ${hop.before_ttl}: `))}
  </td>`;
}

function entry(sign, kind, hop, before = '') {
  const as = hop.asn ? ` ${hop.asn}` : '';
  return html`<div class=${kind} title="${before}${hop.name || hop.ip} ${hop.ip}${as}"><b>${sign}</b> ${short(hop)}</div>`;
}

function signed(value) {
  return `${value > 0 ? '+' : ''}${ms(value)}`;
}

function part(lost, sent) {
  return sent ? percent(lost / sent) : '–';
}
