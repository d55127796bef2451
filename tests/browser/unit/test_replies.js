import { assert, equal } from './assert.js';
import { row } from './rows.js';
import { baseOf, byNode, nodesOf, scaleOf } from '../model/replies.js';

export function test_replies_are_told_apart_by_hop_and_address() {
  const found = byNode([
    { ttl: 1, ip: 'a', rtt_ms: 3, flow: 0 },
    { ttl: 1, ip: 'a', rtt_ms: 1, flow: 1 },
    { ttl: 2, ip: 'a', rtt_ms: 2, flow: 0 },
  ]);
  equal([...found], [['1/a', [1, 3]], ['2/a', [2]]]);
}

export function test_scale_ends_at_a_round_number() {
  equal(scaleOf(row('one', ['a', 'b', 'c', 't']).hops, 'rtt'), { plot: 'rtt', end: 40, middle: 20 });
  const { end } = scaleOf([{ nodes: [{ packet_count: 1, max_rtt_ms: 0.09 }] }], 'rtt');
  assert(end >= 0.09 && end <= 0.1);
}

export function test_scale_of_silence_is_not_empty() {
  equal(scaleOf(row('one', ['']).hops, 'rtt').end, 1);
  equal(scaleOf(row('one', ['a']).hops, 'spread').end, 1);
}

export function test_silent_hop_has_no_nodes() {
  equal(nodesOf(row('one', ['a', ''])).map(({ nodes }) => nodes.length), [1, 0]);
}

export function test_spread_is_above_the_fastest_reply() {
  const node = { packet_count: 2, min_rtt_ms: 150, max_rtt_ms: 153 };
  equal(scaleOf([{ nodes: [node] }], 'spread').end, 3);
  equal([baseOf(node, 'spread'), baseOf(node, 'rtt')], [150, 0]);
}
