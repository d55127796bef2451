"""Both engines keep within the same budgets, shared ones and each target's."""

from dataclasses import replace

import hypothesis.strategies as st
from colotrace_agent.engine.limits.budget import (
    BURST,
    DEFAULT_NEAR_RATE,
    DEFAULT_RATE,
    NEAR_HOPS,
    STEP,
    TARGET_BURST,
    TARGET_RATE,
    grain_of,
)
from colotrace_agent.model import TraceSpec
from hypothesis import example, given, settings

from scenario.sides import Fate, both_sides
from scenario.sides_world import MS, SOURCE, START, TARGETS


@example(traces=100, packets=3, gap_us=4_000)
@given(traces=st.integers(20, 60), packets=st.integers(1, 3), gap_us=st.integers(500, 4_000))
@settings(max_examples=10)
def test_shared_budgets_are_kept_alike(traces: int, packets: int, gap_us: int) -> None:
    """At any time both engines have sent as many packets, and as many to the first hops, except for
    one turn. Neither exceeds its budgets."""
    spec = TraceSpec(bytes(4), max_ttl=8, packets_per_ttl=packets)
    sides = both_sides(spec, rate=None)
    for number in range(traces):
        target = bytes([203, 0, 113, number])
        for side in sides:
            side.start(replace(spec, target=target), SOURCE[4], now=START)
    sent = [[0, 0], [0, 0]]
    for turn in range(400):
        now = START + turn * gap_us * 1_000
        for counts, side in zip(sent, sides, strict=True):
            names = side.send(Fate(), frozenset(), now=now)
            counts[0] += len(names)
            counts[1] += sum(name.ttl <= NEAR_HOPS for name in names)
        passed_s = (now - START) / 1e9
        for total, near in sent:
            assert total <= BURST + passed_s * DEFAULT_RATE + 1
            assert near <= BURST + passed_s * DEFAULT_NEAR_RATE + 1
        # In bulk a turn waits for three grains of a budget that is used up.
        turns = 8 * STEP + 3 * grain_of(DEFAULT_RATE) + 2 * gap_us * DEFAULT_RATE / 1e6
        assert abs(sent[0][1] - sent[1][1]) <= turns
    whole = [traces * 8 * packets, traces * NEAR_HOPS * packets]
    assert sent == [whole, whole] or 400 * gap_us < 1_000_000


def test_budget_of_one_target_covers_traces_in_sequence() -> None:
    """Many traces of one target, one after the other, send no more than its budget."""
    target = TARGETS[4][0]
    spec = TraceSpec(target, max_ttl=30, packets_per_ttl=10)
    for side in both_sides(spec):
        sent, now = 0, START
        for _ in range(40):
            side.start(spec, SOURCE[4], now=now)
            for _ in range(10):
                sent += len(side.send(Fate(), frozenset(), now=now))
                now += 10 * MS
            assert sent <= TARGET_BURST + (now - START) / 1e9 * TARGET_RATE
            side.stop(now)
        assert sent >= (now - START) / 1e9 * TARGET_RATE
