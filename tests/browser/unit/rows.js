// Rows as the API has them, for tests.

export const node = (ip, rtt = 1, { name = ip, count = 3 } = {}) =>
  ip
    ? { asn: 'AS64500', ip, name, packet_count: count, min_rtt_ms: rtt, mean_rtt_ms: rtt, max_rtt_ms: rtt }
    : { asn: '', ip: '', name: 'NO RESPONSE', packet_count: 0 };

/** A row: an address for each hop ('' for silence), or a list of them. RTTs are 10 ms a hop. */
export function row(name, ips, { lost = [], reached = true, error = '' } = {}) {
  const hops = ips.map((each, place) => ({
    packets_ttl: place + 1,
    packets_sent: 4,
    packets_lost: lost[place] ?? (each ? 0 : 4),
    nodes: [].concat(each).map((ip) => node(ip, 10 * (place + 1))),
  }));
  const last = hops.at(-1)?.nodes[0];
  return {
    colo: { city: `City of ${name}`, name },
    error,
    hops,
    target_summary: reached && last ? last : { asn: '', ip: 't', name: 't', packet_count: 0 },
    traceroute_time_ms: 5,
  };
}

/** What `ask` returns of a measurement with one target and these rows. */
export function answer(rows, { status = 'complete', messages = [] } = {}) {
  const info = { id: 'a', status, targets: ['t'], colos: rows.map(({ colo }) => colo.name) };
  return { result: [{ target: 't', colos: rows }], info, messages };
}
