"""The rules of a trace: what they say, and that they say the same of ints and of arrays."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from colotrace_agent.engine import rules
from colotrace_agent.engine.rules import Bounds
from colotrace_proto.messages import NodeKind
from hypothesis import given

MS = 1_000_000
WAIT = 1_000 * MS
FLOOR = 250 * MS
TTLS = st.integers(1, 9)
BOUNDS = st.builds(Bounds, TTLS, TTLS, TTLS, TTLS)
RTTS = st.sampled_from([0, 1, 30, 90, 200, 700]).map(lambda ms: ms * MS)
HOPS = st.lists(st.tuples(st.booleans(), st.integers(0, 2 * WAIT), RTTS), min_size=9, max_size=9)
BARRIERS = st.lists(st.tuples(st.integers(1, 10), RTTS, st.integers(0, WAIT)), min_size=9)


@pytest.mark.parametrize(
    ("own", "later", "barrier", "patience"),
    [
        *[(0, 0, 0, WAIT), (100, 9, 9, 300), (0, 40, 999, 400), (0, 0, 90, 270)],
        *[(1, 0, 0, 250), (0, 0, 1, 250), (600, 0, 0, 1_000), (0, 300, 0, 1_000)],
    ],
)
def test_patience_follows_the_nearest_rtt_within_its_limits(
    own: int, later: int, barrier: int, patience: int
) -> None:
    """Of the own hop, else of a later hop, else of a refusal; else it is the whole waiting time."""
    rtts = (own * MS, later * MS, barrier * MS)
    found = rules.patience_ns(*rtts, wait_ns=WAIT, floor=FLOOR)
    assert found == (patience if patience == WAIT else patience * MS)


@pytest.mark.parametrize(("wait_ms", "floor_ms"), [(100, 100), (1_000, 250), (8_000, 2_000)])
def test_floor_is_a_quarter_of_a_long_waiting_time(wait_ms: int, floor_ms: int) -> None:
    """But never more than a short one."""
    assert rules.floor_ns(wait_ms * MS) == floor_ms * MS


@pytest.mark.parametrize(("ttl", "probes"), [(1, 3), (4, 3), (5, 1), (6, 1), (7, 0)])
@pytest.mark.parametrize("bounds", [Bounds(6, 4, 9, 9), Bounds(6, 9, 9, 4)])
def test_one_probe_beyond_the_expected_distance_or_a_refusal(
    ttl: int, probes: int, bounds: Bounds[int]
) -> None:
    """None beyond the target."""
    assert rules.probes_at(ttl, 3, bounds) == probes


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (NodeKind.TRANSIT, (16, 16, 16, 16)),
        (NodeKind.TARGET, (7, 5, 16, 16)),
        (NodeKind.BARRIER, (16, 16, 7, 7)),
        (rules.DOUBTFUL, (16, 16, 16, 7)),
    ],
)
def test_answer_bounds_the_path_by_its_kind(kind: int, shown: tuple[int, ...]) -> None:
    """The target's quoted TTL also shows its distance."""
    assert rules.answer_bounds(int(kind), 7, 2, 16) == shown


@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize(
    ("has_left", "is_answered", "first", "duplicate"),
    [(False, False, False, False), (True, True, False, True), (True, False, True, False)],
)
def test_first_answer_counts_until_the_end(
    has_left: bool, is_answered: bool, is_over: bool, first: bool, duplicate: bool
) -> None:
    """A duplicate stays a duplicate after the end."""
    state = {"has_left": has_left, "is_answered": is_answered}
    assert rules.is_first(**state, is_over=is_over) == (first and not is_over)
    assert rules.is_duplicate(**state) == duplicate


@pytest.mark.parametrize(
    ("at", "rtt", "stepped"), [(150, 50, False), (100, 0, False), (99, 80, True)]
)
def test_rtt_counts_to_the_reading_if_the_clock_was_set_back(
    at: int, rtt: int, stepped: bool
) -> None:
    """An answer cannot arrive before its probe left."""
    assert rules.rtt_ns(100, at=at, read_at=180) == (rtt, stepped)


@pytest.mark.parametrize(
    ("sent_at", "is_answered", "takes"), [(0, False, False), (5, True, False), (5, False, True)]
)
def test_stamp_counts_before_the_answer_only(sent_at: int, is_answered: bool, takes: bool) -> None:
    """And only for a probe that was sent."""
    assert rules.takes_stamp(sent_at, is_answered) == takes


@pytest.mark.parametrize(
    ("sent_at", "is_answered", "waited"),
    [(0, False, 0), (9, True, 0), (9, False, 1), (5, False, 0)],
)
def test_probe_is_waited_for_from_its_departure(
    sent_at: int, is_answered: bool, waited: bool
) -> None:
    """Until its answer, or for the waiting time."""
    found = rules.is_waited_for(sent_at, is_answered, at=16, wait_ns=10)
    assert found == waited


def test_port_unreachable_from_another_address_is_doubtful() -> None:
    """From the target itself it is certain."""
    assert rules.port_unreachable_kind(from_target=True) == NodeKind.TARGET
    assert rules.port_unreachable_kind(from_target=False) == rules.DOUBTFUL


@given(hops=HOPS, barriers=BARRIERS)
def test_arrays_wait_as_long_as_ints(
    hops: list[tuple[bool, int, int]], barriers: list[tuple[int, int, int]]
) -> None:
    """Each row of a matrix ends as it would alone."""
    missing, sent, rtts = (list(column) for column in zip(*hops, strict=True))
    alone = [
        rules.waited_until(
            missing, sent, rtts, since=since, barrier_ttl=ttl, barrier_rtt=rtt, wait_ns=WAIT
        )
        for ttl, rtt, since in barriers
    ]
    ttl, rtt, since = (np.array(column) for column in zip(*barriers, strict=True))
    rows: list[list[np.ndarray]] = [
        [np.full(len(barriers), value) for value in column] for column in (missing, sent, rtts)
    ]
    together = rules.waited_until(
        *rows, since=since, barrier_ttl=ttl, barrier_rtt=rtt, wait_ns=WAIT
    )
    assert together.tolist() == alone


@given(ttls=st.lists(TTLS, min_size=1), packets=st.integers(1, 4), bounds=BOUNDS)
def test_arrays_send_and_learn_as_ints(ttls: list[int], packets: int, bounds: Bounds[int]) -> None:
    """As many probes of each TTL, and the same conclusion from each kind of answer."""
    column = np.array(ttls, np.int16)
    of_arrays: Bounds[Any] = Bounds(*(np.full(len(ttls), bound, np.int16) for bound in bounds))
    found = rules.probes_at(column, packets, of_arrays)
    assert found.tolist() == [rules.probes_at(ttl, packets, bounds) for ttl in ttls]
    for kind in range(4):
        shown = rules.answer_bounds(
            np.full(len(ttls), kind, np.uint8), column, np.full(len(ttls), 2), 16
        )
        alone = [rules.answer_bounds(kind, ttl, 2, 16) for ttl in ttls]
        assert list(zip(*(each.tolist() for each in shown), strict=True)) == alone
