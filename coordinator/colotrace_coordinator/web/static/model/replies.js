// The RTT of each reply of a row, for its strip plot.

/** @typedef {{ttl: number, rtt_ms: number, ip: string, flow: number}} Reply */

/**
 * The RTTs of each node, in ascending order.
 * @param {Reply[]} replies
 * @returns {Map<string, number[]>} by 'TTL/ADDRESS'
 */
export function byNode(replies) {
  const found = new Map();
  for (const { ttl, ip, rtt_ms: rtt } of replies) {
    if (typeof rtt !== 'number') continue;
    const key = `${ttl}/${ip}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(rtt);
  }
  for (const rtts of found.values()) rtts.sort((one, other) => one - other);
  return found;
}

/** What plots can show: RTTs, or how much slower a reply is than the node's fastest. */
export const PLOTS = { rtt: 'RTT', spread: "RTT above the node's fastest reply" };

/** The RTT at which a node's plot begins. */
export function baseOf(node, plot) {
  return plot === 'spread' ? node.min_rtt_ms : 0;
}

/**
 * The end of the scale that all plots of a row share, and its middle: round numbers.
 * @param {import('./measurement.js').Hop[]} hops
 * @param {keyof typeof PLOTS} plot
 */
export function scaleOf(hops, plot) {
  let most = 0;
  for (const { nodes } of hops)
    for (const node of nodes) if (node.packet_count) most = Math.max(most, node.max_rtt_ms - baseOf(node, plot) || 0);
  if (!most) return { plot, end: 1, middle: 0.5 };
  const unit = 10 ** Math.floor(Math.log10(most));
  const end = [1, 1.4, 2, 3, 4, 5, 6, 8, 10].find((step) => step * unit >= most) * unit;
  return { plot, end, middle: end / 2 };
}

/** Hops of a row with what is told of each node, for its table. */
export function nodesOf({ hops }) {
  return hops.map((hop) => ({
    hop,
    nodes: hop.nodes.filter(({ packet_count: count, labels }) => count || labels?.length),
  }));
}
