// The cells of one row of the matrix.
import { html } from '../core/html.js';
import { count, figure, percent } from '../core/words.js';
import { SHADES, level, shortName } from '../model/tints.js';

const LEAST_MS = 0.0005;
const EMPTY = html`<td role="cell"></td>`;
const AWAITED = html`<td role="cell" class="awaited"></td>`;

/**
 * What decides how cells look, beside their row.
 * @typedef {{align: string, shade: 'added' | 'rtt' | 'loss', width: number, steps: number[],
 *   tints: Map<string, number>, colo: string | undefined, hop: number}} Look
 */

/** All cells of a row. `fault`: why it has failed, if it has. @param {Look} look */
export function lineCells(line, fault, look) {
  if (fault && !line.cells.length)
    return html`<td role="cell" colspan=${3 + look.width} class="bad words fixed whole">${fault}</td>`;
  return [figures(line, fault), ...cellsOf(line, look)];
}

/** The figures of a row's target. */
function figures({ row, rtt, lost, sent, reached, hops }, fault) {
  if (row.error) return html`<td role="cell" colspan="3" class="bad words fixed">${fault}</td>`;
  if (!row.done && rtt === null)
    return html`<td role="cell" colspan="3" class="quiet words fixed">${hops ? `running, ${count(hops, 'hop')} so far` : 'running'}</td>`;
  if (!reached)
    return html`<td role="cell" colspan="2" class="bad words fixed">no answer from the target</td><td role="cell" class="number hops fixed">${hops}</td>`;
  const { min_rtt_ms: min, max_rtt_ms: max } = row.summary;
  return html`
    <td role="cell" class="number latency fixed"><b .textContent=${rtt === null ? 'no times' : figure(rtt)}></b><small
      .textContent=${rtt === null ? '' : `${figure(min)}–${figure(max)}`}></small></td>
    <td role="cell" class="number loss fixed ${lost ? 'bad' : ''}" .textContent=${percent(sent ? lost / sent : 0)}></td>
    <td role="cell" class="number hops fixed" .textContent=${hops}></td>
  `;
}

/** One cell for each column. */
function cellsOf({ row, start, cells }, look) {
  const end = start + cells.length;
  return Array.from({ length: look.width }, (_, column) => {
    const cell = cells[column - start];
    if (!cell) return column === end && !row.done ? AWAITED : EMPTY;
    return cellOf(cell, look, row.name === look.colo && cell.ttl === look.hop ? ' chosen' : '');
  });
}

// A cell is one element with two lines of text: what the browser has to lay out is most of what a
// change costs.
function cellOf(cell, { tints, shade, steps }, chosen) {
  if (!cell.ip) return html`<td role="cell" class="silent${chosen}"><span class="unseen">no answer</span></td>`;
  const value = SHADES[shade].of(cell);
  const loss = cell.sent ? cell.lost / cell.sent : 0;
  const limited = loss && cell.carries === false;
  const heat = value === null || (limited && shade === 'loss') ? 0 : level(value, steps);
  const kind = `cell tint-${tints.get(cell.ip) ?? 0} heat-${heat}${loss ? ' lost' : ''}${limited ? ' limited' : cell.carries ? ' lossy' : ''}${chosen}`;
  const name = `${shortName(cell.name, cell.ip)}${cell.others ? ` +${cell.others}` : ''}`;
  const words = shade === 'loss' ? (loss ? '' : percent(0)) : numbered(loss ? coarse(value) : value, shade, cell);
  const text = `${name}\n${words}`;
  if (!loss) return html`<td role="cell" class=${kind} .textContent=${text}></td>`;
  return html`<td role="cell" class=${kind}><span .textContent=${text}></span><em .textContent=${percent(loss)}></em></td>`;
}

/** Beside a loss, a cell has no room for microseconds. */
function coarse(value) {
  return value !== null && Math.abs(value) < 0.1 ? Math.round(value * 10) / 10 : value;
}

function numbered(value, shade, cell) {
  if (value === null) return '';
  return shade === 'added' && cell.added !== null ? signed(value) : figure(value);
}

/** A number of milliseconds more or less. */
export function signed(value) {
  const size = Math.abs(value);
  return size < LEAST_MS ? '0' : `${value > 0 ? '+' : ''}${figure(value)}`;
}
