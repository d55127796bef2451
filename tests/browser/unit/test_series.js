import { assert, equal } from './assert.js';
import { highest, moments } from '../model/series.js';

const node = (ip) => (ip ? { ip, name: ip } : { ip: '', name: 'NO RESPONSE' });
const row = (ips, { mean = 10, error = '' } = {}) => ({
  error,
  hops: ips.map((ip) => ({ nodes: [].concat(ip).map(node), packets_sent: 4, packets_lost: 1 })),
  target_summary: { packet_count: mean ? 3 : 0, min_rtt_ms: mean - 1, mean_rtt_ms: mean, max_rtt_ms: mean + 1 },
});
/** Newest first, as the API lists them. */
const listed = (...rows) =>
  rows.map((each, number) => ({ measurement: { id: `m${number}`, began_at: `2026-01-0${number + 1}T00:00:00Z` }, row: each })).reverse();
const changes = (...rows) => moments(listed(...rows)).map(({ changed }) => changed);

export function test_moments_are_oldest_first() {
  equal(moments(listed(row(['a']), row(['a']))).map(({ id }) => id), ['m0', 'm1']);
}

export function test_other_address_or_length_is_a_change() {
  equal(changes(row(['a', 't']), row(['b', 't']), row(['b', 'c', 't'])), [false, true, true]);
}

export function test_silent_hop_is_no_change() {
  equal(changes(row(['a', 't']), row(['', 't']), row(['a', 't'])), [false, false, false]);
}

export function test_failed_or_unreached_row_is_not_compared() {
  equal(changes(row(['a', 't']), row(['b'], { mean: 0 }), row(['a', 't'])), [false, false, false]);
}

export function test_same_router_has_the_same_tint_always() {
  const [first, second] = moments(listed(row(['a', 'b']), row(['c', 'b'])));
  equal(first.steps[1].tint, second.steps[1].tint);
  assert(first.steps[0].tint !== second.steps[0].tint);
}

export function test_balanced_hop_is_one_step_whatever_answered_first() {
  equal(changes(row([['a', 'b'], 't']), row([['b', 'a'], 't'])), [false, false]);
}

export function test_scale_is_that_of_the_slowest() {
  equal(highest([moments(listed(row(['a'], { mean: 80 }))), []]), 81);
  assert(highest([[]]) > 0);
}
