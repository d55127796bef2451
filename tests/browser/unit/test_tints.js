import { assert, equal } from './assert.js';
import { answer, row } from './rows.js';
import { Measurement } from '../model/measurement.js';
import { matrixOf } from '../model/matrix.js';
import { SHADES, Tints, level, limits, limitsOf, shortName } from '../model/tints.js';

const of = (...rows) => matrixOf(Measurement.of(answer(rows)).of(0));

export function test_routers_that_rows_share_are_tinted() {
  const found = new Tints().of(of(row('one', ['a', 'h', 't']), row('two', ['b', 'h', 't'])));
  equal([...found.keys()].sort(), ['h', 't']);
}

export function test_routers_of_one_column_have_different_tints() {
  const rows = Array.from({ length: 14 }, (_, place) => row(`c${place}`, [`r${place % 7}`, 't']));
  const found = new Tints().of(of(...rows));
  const tints = Array.from({ length: 7 }, (_, place) => found.get(`r${place}`));
  equal(new Set(tints).size, 7);
  assert(tints.every((tint) => tint >= 1 && tint <= 7));
}

export function test_router_keeps_its_tint_while_rows_come_in() {
  const tints = new Tints();
  const before = tints.of(of(row('one', ['a', 't']), row('two', ['a', 't']))).get('a');
  const more = ['three', 'four', 'five'].map((name) => row(name, ['b', 't']));
  const after = tints.of(of(row('one', ['a', 't']), row('two', ['a', 't']), ...more));
  equal(after.get('a'), before);
  assert(after.get('b') !== before);
}

export function test_short_name_leaves_out_interfaces_and_domains() {
  equal(shortName('den1.lab.example', '192.0.2.1'), 'den1');
  equal(shortName('ae-1.core4.fra.carrier.example', '192.0.2.1'), 'core4');
  equal(shortName('xe-0-0-1.r20.sin.carrier.example', '192.0.2.1'), 'r20.sin');
  equal(shortName('hub1.lab.example', '192.0.2.1'), 'hub1');
  equal(shortName('100ge1-1.example.com', '192.0.2.1'), '100ge1-1');
  equal(shortName('averyveryverylongname.example.com', '192.0.2.1'), 'averyveryv…');
}

export function test_router_without_a_name_is_the_end_of_its_address() {
  equal(shortName('', '192.0.2.1'), '192.0.2.1');
  equal(shortName('', '198.18.120.100'), '….120.100');
  equal(shortName('', '2001:db8:10::4'), '…:db8:10::4');
}

export function test_limits_are_round_and_end_below_the_highest() {
  equal(limits(182), [5, 10, 20, 50, 100]);
  equal(limits(4_900), [100, 200, 500, 1_000, 2_000]);
}

export function test_small_differences_are_not_shaded() {
  equal(limits(0.02), [0.5, 1, 2, 5, 10]);
  equal(level(0.02, limits(0.02)), 0);
}

export function test_shade_is_how_many_limits_are_reached() {
  equal([0, 5, 49, 50, 1_000].map((value) => level(value, [5, 10, 20, 50, 100])), [0, 1, 3, 4, 5]);
}

export function test_first_hop_adds_its_whole_rtt() {
  const { lines } = of(row('one', ['a', 't']));
  equal(lines[0].cells.map(SHADES.added.of), [10, 10]);
}

export function test_loss_has_limits_of_its_own() {
  equal(limitsOf(of(row('one', ['a', 't'])), 'loss'), limitsOf(of(), 'loss'));
}
