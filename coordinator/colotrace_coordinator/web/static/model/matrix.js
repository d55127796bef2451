// Colos × hops of one target. The rules are those of `colotrace_analysis.matrix`; a test compares both.

const CARRIED = 0.5; // Loss carries on if all later hops that answer lose at least this part of it.
const UNKNOWN_ASN = '*';
const BEYOND_LAST_ANSWER = 2;

/**
 * @typedef {{ttl: number, ip: string, name: string, asn: string, others: number,
 *   rtt: number | null, added: number | null, sent: number, lost: number, carries: boolean | null}} Cell
 * A hop. `ip` is that of the address with most answers, '' for silence; `others` counts further
 * ones. `carries`: whether its loss is found behind it, too; null without loss or without evidence.
 * @typedef {{row: import('./measurement.js').Row, cells: Cell[], start: number, reached: boolean,
 *   aligned: boolean, hops: number, rtt: number | null, lost: number, sent: number}} Line
 * A colo. `start` is the column of its first cell.
 * @typedef {{columns: number[], lines: Line[]}} Matrix
 * The columns are distances to the target (0: the target), or TTLs.
 */

const known = new WeakMap();

/** @param {import('./measurement.js').Row[]} rows @param {'target' | 'source'} align @returns {Matrix} */
export function matrixOf(rows, align = 'target') {
  const found = rows.map(cellsOf);
  const atTarget = align === 'target';
  const places = atTarget ? placed(found) : found.map(({ cells }) => ({ place: cells.length, aligned: true }));
  const width = Math.max(0, ...places.map(({ place }) => place));
  const columns = Array.from({ length: width }, (_, column) => (atTarget ? column + 1 - width : column + 1));
  const lines = found.map(({ line }, number) => {
    const { place, aligned } = places[number];
    // What a row that runs adds at its end must not move its other cells.
    const fromSource = !atTarget || (!aligned && !line.row.done);
    return { ...line, start: fromSource ? 0 : width - place, aligned };
  });
  return { columns, lines };
}

/** The part of a line that is of its row alone, kept until the row changes. */
function cellsOf(row) {
  const before = known.get(row);
  if (before?.version === row.version) return before;
  const reached = reachedBy(row);
  const cells = cellsOfHops(row.hops, reached);
  const last = row.hops.at(-1);
  const line = {
    row,
    cells,
    reached: !!row.summary?.packet_count,
    hops: reached ? row.hops.length : cells.length,
    rtt: row.summary?.mean_rtt_ms ?? null,
    lost: last?.packets_lost ?? 0,
    sent: last?.packets_sent ?? 0,
  };
  const found = { version: row.version, cells, reached, line };
  known.set(row, found);
  return found;
}

/** Whether the last hop is the target. Its answers may also name no probe, and so no TTL. */
function reachedBy({ summary, hops }) {
  return summary?.mean_rtt_ms !== undefined && summary.packet_count > 0 && !!hops.length && answered(hops.at(-1));
}

function answered(hop) {
  return hop.nodes.some(({ packet_count: count }) => count);
}

function cellsOfHops(hops, reached) {
  const cells = [];
  const last = hops.findLastIndex(answered);
  let before = null;
  for (const [place, hop] of hops.slice(0, last + 1).entries()) {
    const { packets_ttl: ttl, packets_sent: sent, packets_lost: lost } = hop;
    const first = hop.nodes[0];
    if (!first?.packet_count) {
      cells.push({ ttl, ip: '', name: '', asn: '', others: 0, rtt: null, added: null, sent, lost, carries: null });
      continue;
    }
    const rtt = first.mean_rtt_ms ?? null;
    cells.push({
      ttl,
      ip: first.ip,
      name: first.name === first.ip ? '' : first.name,
      asn: first.asn === UNKNOWN_ASN ? '' : first.asn,
      others: hop.nodes.length - 1,
      rtt,
      added: rtt === null || before === null ? null : rtt - before,
      sent,
      lost,
      carries: carries(hops, place, reached),
    });
    before = rtt ?? before;
  }
  return cells;
}

function carries(hops, place, reached) {
  const part = ({ packets_lost: lost, packets_sent: sent }) => (sent ? lost / sent : 0);
  const loss = part(hops[place]);
  if (!loss) return null;
  if (reached && place === hops.length - 1) return true;
  const later = hops.slice(place + 1).filter(answered).map(part);
  return later.length ? Math.min(...later) >= CARRIED * loss : null;
}

/** For each row, how many columns before the end it begins, and whether that is known. */
function placed(found) {
  const distances = new Map();
  for (const { cells, reached } of found) {
    if (!reached) continue;
    for (const [place, { ip }] of cells.entries()) {
      if (!ip) continue;
      if (!distances.has(ip)) distances.set(ip, new Map());
      const counts = distances.get(ip);
      const distance = cells.length - place;
      counts.set(distance, (counts.get(distance) ?? 0) + 1);
    }
  }
  return found.map(({ cells, reached }) =>
    reached ? { place: cells.length, aligned: true } : beside(cells, distances),
  );
}

/** The place of a row that did not reach the target: by the last router that it shares. */
function beside(cells, distances) {
  for (let place = cells.length - 1; place >= 0; place -= 1) {
    const counts = distances.get(cells[place].ip);
    if (!counts) continue;
    const most = Math.max(...counts.values());
    const distance = Math.min(...[...counts].filter(([, count]) => count === most).map(([each]) => each));
    // What follows must not come to stand at the target.
    return { place: Math.max(distance, cells.length - place + 1) + place, aligned: true };
  }
  return { place: cells.length ? cells.length + BEYOND_LAST_ANSWER : 0, aligned: false };
}

/** What lines can be sorted by: the worst first, a leading '-' reverses it. */
export const SORTS = {
  latency: ({ rtt }) => -(rtt ?? Infinity),
  loss: ({ lost, sent, reached }) => -(reached && sent ? lost / sent : 1),
  hops: ({ hops }) => -hops,
  name: () => 0,
};

/**
 * The lines in an order. Rows that ended with an error come after the others, and then those that
 * run, by name: a line that moves has just ended.
 * @param {Line[]} lines
 * @param {string} sort
 */
export function sorted(lines, sort) {
  const turned = sort.startsWith('-') ? -1 : 1;
  const wanted = sort.replace('-', '');
  const by = Object.hasOwn(SORTS, wanted) ? SORTS[wanted] : SORTS.latency;
  const byName = sort.endsWith('name') ? turned : 1;
  const keyed = lines.map((line) => ({ line, group: group(line.row), key: turned * by(line) }));
  keyed.sort(
    (one, other) =>
      one.group - other.group ||
      (one.group === 0 && one.key !== other.key ? (one.key < other.key ? -1 : 1) : 0) ||
      byName * compareNames(one.line.row.name, other.line.row.name),
  );
  return keyed.map(({ line }) => line);
}

function group({ done, error }) {
  return done ? (error ? 1 : 0) : 2;
}

function compareNames(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}
