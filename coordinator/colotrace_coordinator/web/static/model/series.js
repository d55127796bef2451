// One row over time: what each moment shows of it, and where its path changed.

const SILENT = 'NO RESPONSE';
const TINTS = 8;

/**
 * @typedef {{key: string, label: string, tint: number}} Step a hop; `key` is '' for a silent one
 * @typedef {{
 *   id: string, at: string, error: string, reached: boolean,
 *   rtt: {min: number, mean: number, max: number} | null, loss: number,
 *   steps: Step[], changed: boolean,
 * }} Moment
 */

/**
 * The moments of a row, oldest first. A path has changed if a hop that answered both times has
 * other addresses, or the path another length; a hop that was silent once says nothing.
 * @param {{measurement: {id: string, began_at: string}, row: any}[]} pairs newest first
 * @returns {Moment[]}
 */
export function moments(pairs) {
  const tints = new Map();
  const found = [];
  for (const { measurement, row } of [...pairs].reverse()) {
    const before = found.at(-1);
    const moment = momentOf(measurement, row, tints);
    moment.changed = !!before && differs(before, moment);
    found.push(moment);
  }
  return found;
}

function momentOf({ id, began_at: at }, row, tints) {
  const target = row.target_summary;
  const reached = target.packet_count > 0;
  const last = row.hops.at(-1);
  return {
    id,
    at,
    error: row.error,
    reached,
    rtt: reached ? { min: target.min_rtt_ms, mean: target.mean_rtt_ms, max: target.max_rtt_ms } : null,
    loss: reached && last?.packets_sent ? last.packets_lost / last.packets_sent : 0,
    steps: row.hops.map((hop) => stepOf(hop, tints)),
    changed: false,
  };
}

function stepOf(hop, tints) {
  const nodes = hop.nodes.filter(({ name }) => name !== SILENT);
  const key = nodes.map(({ ip }) => ip).sort().join(' ');
  if (!key) return { key, label: 'no response', tint: -1 };
  if (!tints.has(key)) tints.set(key, tints.size % TINTS);
  return { key, label: nodes.map(({ name, ip }) => name || ip).join(', '), tint: tints.get(key) };
}

function differs(before, after) {
  if (before.error || after.error || !before.reached || !after.reached) return false;
  if (before.steps.length !== after.steps.length) return true;
  return before.steps.some(({ key }, hop) => key && after.steps[hop].key && key !== after.steps[hop].key);
}

/** The highest RTT of all moments, of all rows that share a scale; never 0. */
export function highest(series) {
  return Math.max(0.01, ...series.flat().map(({ rtt }) => rtt?.max ?? 0));
}
