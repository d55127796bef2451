import { assert, equal } from './assert.js';
import { row } from './rows.js';
import { byNode, nodesOf, scaleOf } from '../model/replies.js';

export function test_replies_are_told_apart_by_hop_and_address() {
  const found = byNode([
    { ttl: 1, ip: 'a', rtt_ms: 3, flow: 0 },
    { ttl: 1, ip: 'a', rtt_ms: 1, flow: 1 },
    { ttl: 2, ip: 'a', rtt_ms: 2, flow: 0 },
  ]);
  equal([...found], [['1/a', [1, 3]], ['2/a', [2]]]);
}

export function test_scale_ends_at_a_round_number() {
  equal(scaleOf(row('one', ['a', 'b', 'c', 't']).hops), { end: 40, middle: 20 });
  const { end } = scaleOf([{ nodes: [{ max_rtt_ms: 0.09 }] }]);
  assert(end >= 0.09 && end <= 0.1);
}

export function test_scale_of_silence_is_not_empty() {
  equal(scaleOf(row('one', ['']).hops), { end: 1, middle: 0.5 });
}

export function test_silent_hop_has_no_nodes() {
  equal(nodesOf(row('one', ['a', ''])).map(({ nodes }) => nodes.length), [1, 0]);
}
