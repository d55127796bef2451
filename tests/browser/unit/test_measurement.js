import { assert, equal } from './assert.js';
import { node, row, answer } from './rows.js';
import { Measurement } from '../model/measurement.js';

const summary = (status = 'running') => ({ id: 'a', status, targets: ['t', 'u'], colos: ['den01', 'sin01'] });
const hop = (ttl, ip) => ({ packets_ttl: ttl, packets_sent: 3, packets_lost: 0, nodes: [node(ip)] });
const target = { asn: '', ip: 't', name: 't', packet_count: 0 };
const ips = ({ hops }) => hops.map(({ nodes }) => nodes[0]?.ip ?? '?');

function begun() {
  const measurement = new Measurement();
  measurement.apply('start', { measurement: summary() });
  return measurement;
}
const hops = (found, { colo = 0, fresh = false } = {}) => ['hops', { target: 0, colo, hops: found, target_summary: target, fresh }];

export function test_rows_are_there_before_their_hops() {
  const measurement = begun();
  equal([...measurement.rows.keys()], ['0/0', '0/1', '1/0', '1/1']);
  equal(measurement.of(1).map(({ name, done }) => [name, done]), [['den01', false], ['sin01', false]]);
}

export function test_hop_that_comes_again_replaces_the_earlier_one() {
  const measurement = begun();
  measurement.apply(...hops([hop(1, 'a'), hop(2, 'b')]));
  measurement.apply(...hops([hop(2, 'c')]));
  equal(ips(measurement.row(0, 0)), ['a', 'c']);
}

export function test_hops_in_between_are_not_known_yet() {
  const measurement = begun();
  measurement.apply(...hops([hop(3, 'c')]));
  equal(ips(measurement.row(0, 0)), ['?', '?', 'c']);
}

export function test_fresh_hops_forget_the_earlier_ones() {
  const measurement = begun();
  measurement.apply(...hops([hop(1, 'a'), hop(2, 'b')]));
  measurement.apply(...hops([hop(1, 'z')], { fresh: true }));
  equal(ips(measurement.row(0, 0)), ['z']);
}

export function test_row_that_has_ended_replaces_its_hops() {
  const measurement = begun();
  measurement.apply(...hops([hop(1, 'a'), hop(9, 'b')]));
  measurement.apply('row', { target: 0, colo: 0, row: row('den01', ['a', 't']) });
  const found = measurement.row(0, 0);
  equal(ips(found), ['a', 't']);
  assert(found.done);
  equal(found.city, 'City of den01');
  equal(measurement.finished, 1);
}

export function test_start_that_comes_again_discards_all() {
  const measurement = begun();
  measurement.apply(...hops([hop(1, 'a')]));
  measurement.apply('message', { code: 1, message: 'old' });
  measurement.apply('start', { measurement: summary() });
  equal(ips(measurement.row(0, 0)), []);
  equal(measurement.remarks(null), []);
}

export function test_every_event_is_told() {
  const measurement = begun();
  const before = measurement.version.value;
  measurement.apply(...hops([hop(1, 'a')]));
  measurement.apply('end', { measurement: summary('complete') });
  equal(measurement.version.value, before + 2);
  assert(!measurement.running);
}

export function test_messages_are_found_by_their_row() {
  const measurement = begun();
  const message = (text, pointer) => measurement.apply('message', { code: 1, message: text, source: pointer && { pointer } });
  message('sin01: one', '/result/0/colos/1');
  message('of all');
  message('two', '/result/0/colos/1');
  equal(measurement.remarks(measurement.row(0, 1)), ['one', 'two']);
  equal(measurement.remarks(measurement.row(0, 0)), []);
  equal(measurement.remarks(null), ['of all']);
}

export function test_answer_is_the_same_as_its_events() {
  const found = Measurement.of(answer([row('den01', ['a', 't'])], { messages: [{ code: 1, message: 'x', source: { pointer: '/result/0/colos/0' } }] }));
  equal(ips(found.row(0, 0)), ['a', 't']);
  assert(found.row(0, 0).done);
  equal(found.remarks(found.row(0, 0)), ['x']);
}

export function test_rows_of_an_answer_that_runs_have_not_ended() {
  assert(!Measurement.of(answer([row('den01', ['a'])], { status: 'running' })).row(0, 0).done);
}
