// Colos × hops of a target as one table: what is slow, where, and which routers rows share.
import { guard, html, nothing, repeat, signal } from '../core/html.js';
import { go, href, route, setParams } from '../core/route.js';
import { count, figure, ms, percent, whole } from '../core/words.js';
import { SHADES, Tints, level, limitsOf, shortName } from '../model/tints.js';
import { matrixOf, sorted } from '../model/matrix.js';
import { keys } from './keys.js';

const ALIGNS = { target: 'the target', source: 'the source' };
const SHADE_NAMES = { added: 'RTT added at the hop', rtt: 'RTT', loss: 'loss' };
const FIGURES = { added: 'added RTT in ms', rtt: 'RTT in ms', loss: 'loss in %' };
const HEADS = { name: 'Colo', latency: 'RTT, ms', loss: 'Loss', hops: 'Hops' };
const NARROW_PX = 700; // Where the figures of a row have no room beside the target's columns.
const HINT = 'Point at a cell to see its addresses, RTT and loss. A click, or the Enter key, opens the row.';
const ROWS_AT_ONCE = 60; // More rows than one frame has time for come in the next ones.

const EMPTY = html`<td role="cell"></td>`;
const AWAITED = html`<td role="cell" class="awaited"></td>`;
const SILENT = html`<td role="cell" class="silent"><span class="unseen">no answer</span></td>`;

/** The matrix of a measurement. `template(target)` shows a target by its index. */
export function matrixView(id, measurement) {
  const tints = new Map();
  const pointed = signal(null);
  const shown = signal(ROWS_AT_ONCE);
  const held = keys(open);
  let now = null;
  let drawn = '';

  return { template };

  function template(target) {
    const { params } = route.value;
    const align = ALIGNS[params.align] ? params.align : 'target';
    const shade = SHADES[params.shade] ? params.shade : 'added';
    const sort = params.sort ?? 'latency';
    const matrix = matrixOf(measurement.of(target), align);
    if (!tints.has(target)) tints.set(target, new Tints());
    const look = {
      target,
      align,
      shade,
      width: matrix.columns.length,
      steps: limitsOf(matrix, shade),
      tints: tints.get(target).of(matrix),
      remarks: measurement.messages.length,
    };
    now = { matrix, lines: sorted(matrix.lines, sort), look };
    showMore(now.lines.length);
    held.drawn('.matrix');
    keepEnd(`${target} ${align} ${look.width}`, align);
    return html`
      ${choices(align, shade)}
      <p class="pointed" aria-hidden="true">${pointed.value ? detail(pointed.value) : HINT}</p>
      <div class="wide matrix" role="region" aria-label="Colos and hops" tabindex="-1">
        <table role="table" @click=${clicked} @keydown=${held.pressed} @focusin=${focused} @focusout=${held.left} @mouseover=${point}
            @mouseleave=${() => (pointed.value = null)}>
          <caption class="unseen">Hops from each colo to ${measurement.summary.targets[target]}: in each cell the router
            and the ${FIGURES[shade]}. Columns count ${align === 'target' ? 'back from the target' : 'from the source'}.</caption>
          <thead role="rowgroup"><tr role="row">
            ${Object.entries(HEADS).map(([name, words]) => sortHead(name, words, sort))}
            ${matrix.columns.map((column) => html`<th role="columnheader" scope="col">${columnName(column)}</th>`)}
          </tr></thead>
          <tbody role="rowgroup">${repeat(now.lines.slice(0, shown.value), ({ row }) => row.name, (line) => lineTemplate(line, look))}</tbody>
        </table>
      </div>
      ${legend(look)}
      ${faults(now.lines)}
    `;
  }

  /** The cells of a line are drawn anew only if something of them has changed. */
  function lineTemplate(line, look) {
    const { row, cells, start } = line;
    const { align, shade, width, steps, remarks } = look;
    const shared = cells.map(({ ip }) => look.tints.get(ip) ?? 0).join('');
    const key = `${row.version} ${start} ${width} ${align} ${shade} ${steps} ${shared} ${remarks}`;
    return html`
      <tr role="row" class=${row.done ? '' : 'running'}>
        <th role="rowheader" scope="row"><a href=${linkTo(row)} tabindex="-1" .textContent=${row.name}></a><small .textContent=${row.city}></small></th>
        ${guard([key, row], () => [figures(line), ...cellsOf(line, look)])}
      </tr>
    `;
  }

  function figures({ row, rtt, lost, sent, reached, hops }) {
    if (row.error) return html`<td role="cell" colspan="3" class="bad words fixed">${faultOf(row)}</td>`;
    if (!row.done && rtt === null)
      return html`<td role="cell" colspan="3" class="quiet words fixed">${hops ? `running, ${count(hops, 'hop')} so far` : 'running'}</td>`;
    if (!reached)
      return html`<td role="cell" colspan="2" class="bad words fixed">no answer from the target</td><td role="cell" class="number hops fixed">${hops}</td>`;
    const { min_rtt_ms: min, max_rtt_ms: max } = row.summary;
    const range = rtt === null ? '' : `${figure(min)}–${figure(max)}`;
    return html`
      <td role="cell" class="number latency fixed"><b .textContent=${rtt === null ? 'no times' : figure(rtt)}></b><small .textContent=${range}></small></td>
      <td role="cell" class="number loss fixed ${lost ? 'bad' : ''}" .textContent=${percent(sent ? lost / sent : 0)}></td>
      <td role="cell" class="number hops fixed" .textContent=${hops}></td>
    `;
  }

  function faultOf(row) {
    const [words] = measurement.remarks(row);
    return words ?? row.error;
  }

  function linkTo({ name, target }, hop) {
    const { params } = route.value;
    const changes = { view: 'rows', target: measurement.summary.targets[target], colo: name, hop };
    return href('m', { ids: [id], params: { ...params, ...changes } });
  }

  /** The line and the cell of an element of the table. */
  function found(element) {
    const place = element.closest('td, th');
    const line = now?.lines[element.closest('tbody tr')?.sectionRowIndex];
    if (!line || !place) return null;
    const fixed = place.parentElement.cells.length - now.look.width;
    return { line, cell: line.cells[place.cellIndex - fixed - line.start] };
  }

  function open(element) {
    const at = found(element);
    if (at) go(linkTo(at.line.row, at.cell?.ttl));
  }

  function clicked(event) {
    if (!event.target.closest('a') && !String(getSelection())) open(event.target);
  }

  function focused(event) {
    held.entered(event);
    pointed.value = found(event.target);
  }

  function point(event) {
    const at = found(event.target);
    if (at?.cell !== pointed.peek()?.cell || at?.line.row !== pointed.peek()?.line.row) pointed.value = at;
  }

  /** Aligned at the target, the target is in view, and stays there while columns come in. */
  function keepEnd(key, align) {
    if (key === drawn) return;
    const box = document.querySelector('.matrix');
    const atEnd = !box || box.scrollLeft + box.clientWidth > box.scrollWidth - 2 || !drawn.includes(align);
    drawn = key;
    queueMicrotask(() => {
      const shown = document.querySelector('.matrix');
      const wide = shown.clientWidth > NARROW_PX;
      if (atEnd) shown.scrollLeft = align === 'target' && wide ? Number.MAX_SAFE_INTEGER : 0;
    });
  }

  function showMore(all) {
    if (shown.peek() < all) requestAnimationFrame(() => (shown.value = shown.peek() + ROWS_AT_ONCE));
  }

  /** Why rows have failed, once for all rows with the same reason. */
  function faults(lines) {
    const reasons = Map.groupBy(lines.filter(({ row }) => row.error), ({ row }) => faultOf(row));
    if (!reasons.size) return nothing;
    return html`
      <h2>Rows that failed</h2>
      <ul>${[...reasons].map(([words, failed]) => html`<li>${failed.map(({ row }) => row.name).join(', ')}: ${words}</li>`)}</ul>
    `;
  }
}

function cellsOf({ row, start, cells }, look) {
  const from = start + cells.length;
  return Array.from({ length: look.width }, (_, column) => {
    const cell = cells[column - start];
    return cell ? cellTemplate(cell, look) : column === from && !row.done ? AWAITED : EMPTY;
  });
}

// Texts are properties, not children: a cell then needs half of the nodes.
function cellTemplate(cell, { tints, shade, steps }) {
  if (!cell.ip) return SILENT;
  const value = SHADES[shade].of(cell);
  const loss = cell.sent ? cell.lost / cell.sent : 0;
  const limited = loss && cell.carries === false;
  const heat = value === null || (limited && shade === 'loss') ? 0 : level(value, steps);
  const kind = `tint-${tints.get(cell.ip) ?? 0} heat-${heat}${limited ? ' limited' : cell.carries ? ' lossy' : ''}`;
  const name = `${shortName(cell.name, cell.ip)}${cell.others ? ` +${cell.others}` : ''}`;
  const words = shade === 'loss' ? '' : numbered(value, shade, cell);
  if (!loss && shade !== 'loss')
    return html`<td role="cell" class=${kind}><span .textContent=${name}></span><b .textContent=${words}></b></td>`;
  return html`<td role="cell" class=${kind}><span .textContent=${name}></span><b .textContent=${words}></b><em .textContent=${percent(loss)}></em></td>`;
}

function numbered(value, shade, cell) {
  if (value === null) return '';
  if (shade !== 'added' || cell.added === null) return figure(value);
  const size = figure(Math.abs(value));
  return size === figure(0) ? '0' : `${value < 0 ? '−' : '+'}${size}`;
}

function columnName(column) {
  return column === 0 ? 'target' : column < 0 ? `−${-column}` : column;
}

function sortHead(name, words, sort) {
  const by = sort.replace('-', '') === name;
  const turned = by && sort.startsWith('-');
  const { view, ids, params } = route.value;
  const next = by && !turned ? `-${name}` : name;
  const upwards = turned !== (name === 'name');
  return html`
    <th role="columnheader" scope="col" class=${name === 'name' ? '' : `number fixed ${name}`} aria-sort=${by ? (upwards ? 'ascending' : 'descending') : nothing}>
      <a href=${href(view, { ids, params: { ...params, sort: next } })}>${words}${by ? (upwards ? ' ↑' : ' ↓') : ''}</a>
    </th>
  `;
}

function choices(align, shade) {
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

function legend({ shade, steps }) {
  const words = shade === 'loss' ? (step) => percent(step) : (step) => `${step < 1 ? figure(step) : whole(step)} ms`;
  return html`
    <p class="legend">
      <span>Shade: ${SHADE_NAMES[shade]}, from</span>
      ${steps.map((step, number) => html`<span class="key heat-${number + 1}">${words(step)}</span>`)}
      <span class="key limited">loss that does not carry on: the router limits its answers</span>
      <span class="key silent">no answer</span>
      <span>Equal colours down a column: the same router. +1: further routers at this hop.</span>
    </p>
  `;
}

function detail({ line: { row }, cell }) {
  if (!cell) return html`<b>${row.name}</b> ${row.city}`;
  const { ttl, name, ip, asn, rtt, added, sent, lost, carries, others } = cell;
  const parts = [
    ip ? [name, ip, asn].filter(Boolean).join(' ') : 'no answer',
    others ? `${count(others, 'further router')}` : '',
    rtt === null ? '' : `RTT ${ms(rtt)}`,
    added === null ? '' : `added ${ms(added)}`,
    sent ? `${lost} of ${count(sent, 'packet')} lost` : '',
    carries === false ? 'the loss does not carry on' : '',
  ];
  return html`<b>${row.name}</b> hop ${ttl}: ${parts.filter(Boolean).join(', ')}`;
}
