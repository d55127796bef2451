// Colos × hops of a target as one table: what is slow, where, and which routers rows share.
import { guard, html, nothing, render, repeat, signal } from '../core/html.js';
import { choiceOf, go, href, route, setParams } from '../core/route.js';
import { SHADES, Tints, limitsOf } from '../model/tints.js';
import { matrixOf, sorted } from '../model/matrix.js';
import { keys } from './keys.js';
import { lineCells } from './matrix_cells.js';
import { ALIGNS, choices, detail, legend } from './matrix_notes.js';
import { sortHead } from './sort_head.js';

const FIGURES = { added: 'added RTT in ms', rtt: 'RTT in ms', loss: 'loss' };
const HEADS = { name: 'Colo', latency: 'RTT, ms', loss: 'Loss', hops: 'Hops' };
const ROWS_AT_ONCE = 40; // Rows that are drawn anew in a frame, unless somebody waits for all of them.
const AGENT = / as seen by agent [^\s:]+/; // The only part of a reason that each colo has of its own.
const NARROW_PX = 700; // Where the figures of a row have no room beside the target's columns.

/** The matrix of a measurement. `template(target)` shows a target by its index. */
export function matrixView(id, measurement) {
  const tints = new Map();
  const more = signal(0);
  const keysOf = new WeakMap(); // What each row was last drawn from.
  const held = keys(open);
  let now = null;
  let pointed = null; // The element under the pointer, or with the focus.
  let drawn = '';
  let asked = null; // The parameters of the last drawing.
  let left = 0; // Rows that may still be drawn in this frame.

  return { template };

  function template(target) {
    const { params } = route.value;
    const align = choiceOf(ALIGNS, params.align, 'target');
    const sort = params.sort ?? 'latency';
    const matrix = matrixOf(measurement.of(target), align);
    const look = lookOf(matrix, target, params);
    now = { lines: sorted(matrix.lines, sort), look, link: linkToRows(target) };
    more.value;
    left = asked && asked !== params ? Infinity : ROWS_AT_ONCE;
    asked = params;
    held.drawn('.matrix');
    queueMicrotask(tell);
    scrolled(`${target} ${align} ${look.width}`, align);
    return html`
      ${choices(align, look.shade)}
      <p class="pointed" aria-hidden="true"></p>
      <div class="wide matrix shade-${look.shade}" role="region" aria-label="Colos and hops" tabindex="-1">
        <table role="table" @click=${clicked} @keydown=${held.pressed} @focusin=${focused} @focusout=${held.left}
            @mouseover=${(event) => point(event.target)} @mouseleave=${() => point(null)}>
          <caption class="unseen">Hops from each colo to ${measurement.summary.targets[target]}: in each cell the router,
            the ${FIGURES[look.shade]}, and loss. Columns count ${align === 'target' ? 'back from the target' : 'from the source'}.</caption>
          <thead role="rowgroup"><tr role="row">
            ${Object.entries(HEADS).map(([name, words]) => sortHead(name, words, sort, name === 'name' ? '' : `number fixed ${name}`))}
            ${matrix.columns.map((column) => html`<th role="columnheader" scope="col">${columnName(column)}</th>`)}
          </tr></thead>
          <tbody role="rowgroup">${repeat(now.lines, ({ row }) => row.name, (line) => lineTemplate(line, look))}</tbody>
        </table>
      </div>
      ${legend(look)}
      ${faults(now.lines)}
    `;
  }

  /** @returns {import('./matrix_cells.js').Look} */
  function lookOf(matrix, target, { align, shade: wanted, colo, hop }) {
    if (!tints.has(target)) tints.set(target, new Tints());
    const shade = choiceOf(SHADES, wanted, 'added');
    return {
      align,
      shade,
      width: matrix.columns.length,
      steps: limitsOf(matrix, shade),
      tints: tints.get(target).of(matrix),
      colo,
      hop: Number(hop),
    };
  }

  /** The cells of a line are drawn anew only if something of them has changed. */
  function lineTemplate(line, look) {
    const { row, cells, start } = line;
    const { align, shade, width, steps, hop } = look;
    const chosen = row.name === look.colo;
    const shared = cells.map(({ ip }) => look.tints.get(ip) ?? 0).join('');
    const fault = row.error && faultOf(row);
    const key = inTime(row, chosen, `${row.version} ${start} ${width} ${align} ${shade} ${steps} ${shared} ${fault} ${chosen && hop}`);
    return html`
      <tr role="row" class="${row.done ? '' : 'running'} ${chosen ? 'chosen' : ''}">
        <th role="rowheader" scope="row"><a href=${linkTo(row)} tabindex="-1" .textContent=${row.name}></a><small .textContent=${row.city}></small></th>
        ${guard([key, row], () => (key ? lineCells(line, fault, look) : nothing))}
      </tr>
    `;
  }

  /** The key that a row is drawn by: its last one if this frame has no time left. */
  function inTime(row, first, key) {
    if (keysOf.get(row) === key) return key;
    if (left === 0) requestAnimationFrame(() => (more.value += 1));
    left -= 1;
    if (left >= 0 || first) keysOf.set(row, key);
    return keysOf.get(row);
  }

  function faultOf(row) {
    return measurement.remarks(row)[0] ?? row.error;
  }

  /** The link to any row of a target: a colo, and perhaps a hop, is still to be added. */
  function linkToRows(target) {
    const changes = { view: 'rows', target: measurement.summary.targets[target], colo: undefined, hop: undefined };
    return href('m', { ids: [id], params: { ...route.value.params, ...changes } });
  }

  function linkTo({ name }, hop) {
    return `${now.link}&colo=${encodeURIComponent(name)}${hop ? `&hop=${hop}` : ''}`;
  }

  /** The line and the cell of an element of the table. */
  function found(element) {
    const place = element.closest('td, th');
    const line = now?.lines[element.closest('tbody tr')?.sectionRowIndex];
    if (!line || !place) return null;
    const fixed = place.parentElement.cells.length - now.look.width;
    return { line, cell: line.cells[place.cellIndex - fixed - line.start] };
  }

  /** Open a row at a hop. Whoever comes back finds the cell marked. */
  function open(element) {
    const at = found(element);
    if (!at) return;
    const { row } = at.line;
    const link = linkTo(row, at.cell?.ttl);
    setParams({ colo: row.name, hop: at.cell?.ttl });
    go(link);
  }

  function clicked(event) {
    const aside = event.ctrlKey || event.metaKey || event.shiftKey || String(getSelection());
    if (aside || event.target.closest('thead')) return;
    event.preventDefault();
    open(event.target);
  }

  function focused(event) {
    held.entered(event);
    point(event.target);
  }

  function point(element) {
    pointed = element;
    tell();
  }

  /** Say what is pointed at. This does not draw the table anew: a pointer passes many cells. */
  function tell() {
    const place = document.querySelector('.pointed');
    if (place) render(detail(pointed?.isConnected ? found(pointed) : null), place);
  }

  /** Aligned at the target, the target is in view and stays there; a cell that the URL names is, too. */
  function scrolled(key, align) {
    if (key === drawn && document.querySelector('.matrix')) return;
    const before = document.querySelector('.matrix');
    const atEnd = !before || before.scrollLeft + before.clientWidth > before.scrollWidth - 2 || !drawn.includes(align);
    drawn = key;
    queueMicrotask(() => {
      const box = document.querySelector('.matrix');
      if (atEnd) box.scrollLeft = align === 'target' && box.clientWidth > NARROW_PX ? Number.MAX_SAFE_INTEGER : 0;
      if (!before) held.show(box.querySelector('td.chosen') ?? box.querySelector('.chosen th'));
    });
  }

  /** Why rows have failed, once for all rows with the same reason. */
  function faults(lines) {
    const reasons = Map.groupBy(lines.filter(({ row }) => row.error), ({ row }) => faultOf(row).replace(AGENT, ''));
    if (!reasons.size) return nothing;
    return html`
      <h2>Rows that failed</h2>
      <ul>${[...reasons].map(([words, failed]) => html`<li>${failed.map(({ row }) => row.name).join(', ')}: ${words}</li>`)}</ul>
    `;
  }
}

function columnName(column) {
  return column === 0 ? 'target' : column < 0 ? `−${-column}` : column;
}
