import { assert, equal } from './assert.js';
import { answer, row } from './rows.js';
import { Measurement } from '../model/measurement.js';
import { matrixOf, sorted } from '../model/matrix.js';

const of = (rows, align) => matrixOf(Measurement.of(answer(rows)).of(0), align);
const names = (lines) => lines.map((line) => line.row.name);

export function test_paths_are_aligned_at_the_target() {
  const { columns, lines } = of([row('long', ['a', 'b', 'h', 't']), row('short', ['h', 't'])]);
  equal(columns, [-3, -2, -1, 0]);
  equal(lines.map(({ start }) => start), [0, 2]);
}

export function test_paths_are_aligned_at_the_source() {
  const { columns, lines } = of([row('long', ['a', 'b', 'h', 't']), row('short', ['h', 't'])], 'source');
  equal(columns, [1, 2, 3, 4]);
  equal(lines.map(({ start }) => start), [0, 0]);
}

export function test_unreached_row_is_placed_by_the_last_router_that_it_shares() {
  const { lines } = of([row('good', ['a', 'b', 'h', 't']), row('bad', ['x', 'b', ''], { reached: false })]);
  equal(lines.map(({ start, aligned, hops }) => [start, aligned, hops]), [[0, true, 4], [0, true, 2]]);
}

export function test_unreached_row_without_a_shared_router_ends_before_the_target() {
  const { columns, lines } = of([row('good', ['a', 't']), row('bad', ['x', 'y'], { reached: false })]);
  equal(columns, [-3, -2, -1, 0]);
  equal([lines[1].start, lines[1].aligned], [0, false]);
}

export function test_cells_of_a_row_that_runs_stay_where_they_are() {
  const measurement = Measurement.of(answer([row('runs', ['a'])], { status: 'running' }));
  const start = () => matrixOf(measurement.of(0)).lines[0].start;
  const before = start();
  measurement.row(0, 0).merge(row('runs', ['a', 'b', 'c']).hops, row('runs', []).target_summary, false);
  equal([before, start()], [0, 0]);
}

export function test_added_rtt_is_beyond_the_hop_that_answered_before() {
  const [{ cells }] = of([row('den01', ['a', '', 't'])]).lines;
  equal(cells.map(({ added }) => added), [null, null, 20]);
}

export function test_loss_that_later_hops_do_not_have_does_not_carry_on() {
  const [{ cells }] = of([row('den01', ['a', 'b', 't'], { lost: [2, 0, 0] })]).lines;
  equal(cells.map((cell) => cell.carries), [false, null, null]);
}

export function test_loss_that_later_hops_have_carries_on() {
  const [{ cells }] = of([row('den01', ['a', 'b', 't'], { lost: [2, 1, 1] })]).lines;
  equal(cells.map((cell) => cell.carries), [true, true, true]);
}

export function test_no_rows_have_no_columns() {
  equal(of([]), { columns: [], lines: [] });
  equal(of([row('den01', [], { error: 'Code 1' })]).columns, []);
}

export function test_thirty_hops_and_a_hop_of_eight_nodes() {
  const path = Array.from({ length: 30 }, (_, place) => `10.0.0.${place}`);
  path[7] = Array.from({ length: 8 }, (_, place) => `10.1.0.${place}`);
  const { columns, lines } = of([row('den01', path)]);
  equal(columns.length, 30);
  equal(lines[0].cells[7].others, 7);
}

export function test_a_row_that_changes_is_computed_anew() {
  const measurement = Measurement.of(answer([row('den01', ['a', 't'])]));
  matrixOf(measurement.of(0));
  measurement.apply('row', { target: 0, colo: 0, row: row('den01', ['a', 'b', 't']) });
  equal(matrixOf(measurement.of(0)).columns.length, 3);
}

const SORTED = [
  row('slow', ['a', 'b', 'c', 't']),
  row('lossy', ['a', 't'], { lost: [0, 2] }),
  row('apart', ['a', 'b', 't']),
  row('failed', [], { error: 'Code 1' }),
  row('unreached', ['a'], { reached: false }),
];

export function test_worst_rows_come_first() {
  const { lines } = of(SORTED);
  equal(names(sorted(lines, 'latency')), ['unreached', 'slow', 'apart', 'lossy', 'failed']);
  equal(names(sorted(lines, 'loss')), ['unreached', 'lossy', 'apart', 'slow', 'failed']);
  equal(names(sorted(lines, 'hops')), ['slow', 'apart', 'lossy', 'unreached', 'failed']);
  equal(names(sorted(lines, 'name')), ['apart', 'lossy', 'slow', 'unreached', 'failed']);
}

export function test_order_can_be_reversed() {
  const { lines } = of(SORTED);
  equal(names(sorted(lines, '-latency')), ['lossy', 'apart', 'slow', 'unreached', 'failed']);
  equal(names(sorted(lines, '-name')), ['unreached', 'slow', 'lossy', 'apart', 'failed']);
}

export function test_unknown_order_is_by_latency() {
  const { lines } = of(SORTED);
  for (const sort of ['nonsense', '-__proto__', 'valueOf'])
    equal(names(sorted(lines, sort)).toSorted(), names(lines).toSorted(), sort);
  equal(names(sorted(lines, 'valueOf')), names(sorted(lines, 'latency')));
}

export function test_rows_that_run_come_last_by_name() {
  const measurement = Measurement.of(answer([row('zeta', ['a', 't']), row('alpha', ['a']), row('beta', ['a'])], { status: 'running' }));
  measurement.apply('row', { target: 0, colo: 0, row: row('zeta', ['a', 't']) });
  equal(names(sorted(matrixOf(measurement.of(0)).lines, 'latency')), ['zeta', 'alpha', 'beta']);
  assert(!measurement.row(0, 1).done);
}
