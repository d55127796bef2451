"""Both engines judge the same events alike: stamps, answers without identity, losses, silence."""

import errno

import hypothesis.strategies as st
import pytest
from colotrace_agent.model import TraceSpec
from colotrace_proto.messages import PacketType
from hypothesis import example, given, settings

from scenario.kinds import Error
from scenario.sides import Fate, assert_same, both_sides
from scenario.sides_world import MS, SECOND, SOURCE, START, TARGETS, packet, router


@pytest.mark.parametrize(("stamp", "undeparted"), [(2, 0), (-1, 1)])
def test_stamp_that_is_late_or_impossible_is_not_used(stamp: int, undeparted: int) -> None:
    """The answer counts as unstamped. An impossible stamp says that the clock was set."""
    target = TARGETS[4][0]
    spec = TraceSpec(target, max_ttl=3, packets_per_ttl=1)
    for side in both_sides(spec):
        side.start(spec, SOURCE[4], now=START)
        name, *_ = side.send(Fate(stamp=stamp), frozenset([1, 2]), now=START)
        data = packet(side.packet(name), Error.TIME_EXCEEDED, source=router(4, 1))
        side.hear([data], at=START + MS, now=START + MS)
        side.stamp()
        (seen,) = side.seen().values()
        assert (seen.unstamped, len(seen.undeparted)) == (1, undeparted)
        assert seen.clock_stepped == (stamp < 0)


def test_rtt_counts_up_to_the_reading_if_the_clock_was_set() -> None:
    """An answer that arrived before its probe left says that the clock was set meanwhile."""
    spec = TraceSpec(TARGETS[4][0], max_ttl=1, packets_per_ttl=1)
    for side in both_sides(spec):
        side.start(spec, SOURCE[4], now=START)
        (name,) = side.send(Fate(), frozenset(), now=START)
        data = packet(side.packet(name), Error.TIME_EXCEEDED, source=router(4, 1))
        side.hear([data], at=START - 5 * MS, now=START + 3 * MS)
        (seen,) = side.seen().values()
        assert ([reply.rtt_ns for reply in seen.replies], seen.clock_stepped) == ([3 * MS], True)


def test_ttl_that_is_left_at_the_target_spares_probes() -> None:
    """The target would have been reached with less: its TTL has one probe, and no more follow."""
    spec = TraceSpec(TARGETS[4][0], PacketType.UDP, max_ttl=22, packets_per_ttl=10)
    for side in both_sides(spec):
        side.start(spec, SOURCE[4], now=START)
        name = side.send(Fate(), frozenset(), now=START, turns=1)[-1]
        assert (name.ttl, name.earlier) == (2, 1)
        data = packet(side.packet(name), Error.PORT_UNREACHABLE, source=TARGETS[4][0], ttl=2)
        side.hear([data], at=START + MS, now=START + MS)
        assert side.send(Fate(), frozenset(), now=START + MS) == []


def test_trace_with_unsent_probes_beyond_a_refusal_goes_on() -> None:
    """Beyond a refusal each TTL has one probe: where one TTL has it, the next may still lack it."""
    spec = TraceSpec(TARGETS[4][0], max_ttl=22, packets_per_ttl=10)
    for side in both_sides(spec):
        side.start(spec, SOURCE[4], now=START)
        names = side.send(Fate(), frozenset(), now=START, turns=1)
        assert (names[-1].ttl, names[-1].earlier) == (2, 1)
        data = packet(side.packet(names[0]), Error.HOST_UNREACHABLE, source=router(4, 1))
        side.hear([data], at=START + MS, now=START + MS)
        assert side.expire(START + 20 * SECOND) == {}
        assert [name.ttl for name in side.send(Fate(), frozenset(), now=START + 20 * SECOND)]


@pytest.mark.parametrize(
    ("answered", "failing", "datagrams", "after_ms", "counts", "unplaced"),
    [
        ({1, 2}, set(), 1, 500, True, 0),
        ({1, 2}, set(), 1, 1_500, False, 1),
        ({1, 3}, set(), 1, 500, False, 1),
        (set(), {1}, 5, 500, False, 2),
    ],
    ids=["only probe without an answer", "waited for no more", "beyond is a router", "many"],
)
def test_datagram_that_names_no_probe_is_placed_by_elimination(
    answered: set[int], failing: set[int], datagrams: int, after_ms: int, counts: bool,
    unplaced: int,
) -> None:  # fmt: skip
    """If it cannot be placed, it shows only that the target was reached, once for each probe."""
    target = TARGETS[4][0]
    spec = TraceSpec(target, PacketType.UDP, max_ttl=3, packets_per_ttl=1, wait_ns=SECOND)
    single, bulk = both_sides(spec)
    for side in (single, bulk):
        side.start(spec, SOURCE[4], now=START)
        names = side.send(Fate(errno.EPERM), frozenset(failing), now=START)
        for name in names:
            if name.ttl in answered:
                probe, source = side.packet(name), router(4, name.ttl)
                data = packet(probe, Error.TIME_EXCEEDED, source=source)
                side.hear([data], at=START + MS, now=START + MS)
        at, probe = START + after_ms * MS, side.packet(names[-1])
        data = packet(probe, "rst-ack", source=target)
        side.hear([data] * datagrams, at=at, now=at)
        (seen,) = side.seen().values()
        assert (seen.reached, seen.unplaced) == (counts, unplaced)
    assert_same(single.seen(), bulk.seen())


@pytest.mark.parametrize("overflows", [0, 5])
def test_queue_overflow_is_not_reported_as_a_limit(overflows: int) -> None:
    """A hop that lacks answers which hops beyond it have is limited, unless packets were lost in
    the host."""
    target = TARGETS[4][0]
    spec = TraceSpec(target, max_ttl=4, packets_per_ttl=10)
    for side in both_sides(spec):
        side.start(spec, SOURCE[4], now=START)
        for name in side.send(Fate(), frozenset(), now=START):
            if name.ttl == 2 and name.earlier:
                continue
            probe = side.packet(name)
            how, source = Error.TIME_EXCEEDED.value, router(4, name.ttl)
            if name.ttl == 4:
                how, source = "rst-ack", target
            data = packet(probe, how, source=source)
            side.hear([data], at=START + MS, now=START + MS)
        side.engine.overflowed(overflows)
        (seen,) = side.expire(START + 2 * SECOND).values()
        assert seen.overflows == overflows
        assert seen.limiting == ([] if overflows else [2])


@given(
    rtt_ms=st.integers(26, 300),
    silent=st.one_of(
        st.frozensets(st.integers(0, 9), min_size=1, max_size=9),
        st.sampled_from([{0}, {3}, {9}, {8, 9}, {6, 7, 8, 9}, {1, 4}]),
    ),
    refused_at=st.sampled_from([None, 3, 4]),
)
@example(rtt_ms=100, silent={8, 9}, refused_at=4)
@example(rtt_ms=100, silent={3}, refused_at=None)
@example(rtt_ms=40, silent={0, 1}, refused_at=None)
@settings(max_examples=100)
def test_patience_is_the_same(rtt_ms: int, silent: set[int], refused_at: int | None) -> None:
    """By the RTT of the own hop, of a later one, or of a refusal, for RTTs that exceed its floor.
    Both engines send and end at the same times."""
    target = TARGETS[4][0]
    spec = TraceSpec(target, max_ttl=5, packets_per_ttl=2)
    single, bulk = both_sides(spec)
    for side in (single, bulk):
        side.start(spec, SOURCE[4], now=START)
    now = START
    for turn in range(60):
        names = single.send(Fate(), frozenset(), now=now)
        assert bulk.send(Fate(), frozenset(), now=now) == names
        if turn == 0:
            now += rtt_ms * MS
            for place in set(range(len(names))) - silent:
                how = Error.TIME_EXCEEDED
                if names[place].ttl == refused_at:
                    how = Error.HOST_UNREACHABLE
                for side in (single, bulk):
                    probe, source = side.packet(names[place]), router(4, names[place].ttl)
                    data = packet(probe, how, source=source)
                    side.hear([data], at=now, now=now)
        assert single.expire(now) == bulk.expire(now)
        deadline = single.engine.next_deadline(now)
        if deadline is None:
            break
        now = max(now, deadline)
    assert not single.seen()
    assert not bulk.seen()
