import { equal } from './assert.js';
import { ago, bytes, count, lasted, ms, percent } from '../core/words.js';

export function test_times_have_three_digits() {
  equal([0.123, 1.2345, 12.345, 123.45, 1234.5].map(ms), ['0.12 ms', '1.23 ms', '12.3 ms', '123 ms', '1,235 ms']);
}

export function test_a_negative_time_has_a_minus_not_a_hyphen() {
  equal([ms(-0.026), ms(-1234)], ['−0.026 ms', '−1,234 ms']);
}

export function test_small_parts_are_not_zero() {
  equal([0, 0.004, 0.05, 1].map(percent), ['0 %', '0.4 %', '5 %', '100 %']);
}

export function test_counts_agree_with_their_noun() {
  equal([count(1, 'colo'), count(2, 'colo'), count(0, 'reply', 'replies')], ['1 colo', '2 colos', '0 replies']);
}

export function test_sizes_and_durations_have_units() {
  equal([bytes(999), bytes(12_340), lasted(7), lasted(500), lasted(1_530)], ['999 bytes', '12.3 kB', '7 ms', '500 ms', '1.5 s']);
}

export function test_how_long_ago() {
  const now = Date.parse('2026-11-28T12:00:00Z');
  equal(ago('2026-11-28T11:57:59Z', now), '2 min ago');
  equal(ago('2026-11-27T11:00:00Z', now), 'yesterday');
}
