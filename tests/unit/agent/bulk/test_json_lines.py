"""Lines written in bulk are those that the tally makes of the same traces."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from colotrace_agent.bulk.engine import Ended
from colotrace_agent.bulk.flows import ManyIdentities, rows_of
from colotrace_agent.bulk.group import Group
from colotrace_agent.bulk.json_lines import LineWriter
from colotrace_agent.bulk.text_fields import LEAST_NS
from colotrace_agent.bulk.view import TraceView
from colotrace_agent.job.frames import Report
from colotrace_agent.model import TraceSpec
from colotrace_proto import rows, tally
from colotrace_proto.messages import Failure, Family, JobId, NodeKind
from hypothesis import given
from hypothesis import strategies as st

HERE = rows.Colo(city="Denver, CO, US", name="den01")
START, MS = 1_000_000_000, 1_000_000
TTLS = 4

# By TTL, what each probe's answer is: nothing, or who gives it, and after how many nanoseconds.
ANSWERS = st.lists(
    st.lists(st.none() | st.tuples(st.integers(1, 2), st.integers(1, 10**9)), max_size=3),
    min_size=TTLS,
    max_size=TTLS,
)


def traced(group: Group, answers: list[list[Any]], *, target_ttl: int, number: int) -> TraceView:
    """A trace that was answered so; the target answers from its TTL on."""
    size = group.columns.width
    target, source = bytes([9, number] + [7] * (size - 2)), bytes([5] * size)
    spec = TraceSpec(target, max_ttl=TTLS, packets_per_ttl=3)
    flows, _ = ManyIdentities().allocate(
        spec, rows_of([target]), rows_of([source]), reserve=lambda _: True, now=START
    )
    (line,) = group.sending.begin(flows, expected_ttls=np.array([TTLS]), now=START).tolist()
    due = group.sending.take(near=100, most=100, now=START)
    while len(due.lines):
        group.sending.sent(due, at=np.full(len(due.lines), START))
        right = np.ones(len(due.lines), np.bool_)
        group.hearing.stamps(
            group.columns.tickets(due.lines, due.ordinals), np.full(len(right), START), right
        )
        due = group.sending.take(near=100, most=100, now=START)
    for ttl, given_ones in enumerate(answers, 1):
        for place, answer in enumerate(given_ones):
            if answer is None:
                continue
            who, rtt = answer
            reached = ttl >= target_ttl
            address = target if reached else bytes([198, ttl, who] + [1] * (size - 3))
            group.hearing.count(
                np.array([line]), np.array([(ttl - 1) * 3 + place]),
                kind=np.array([NodeKind.TARGET if reached else NodeKind.TRANSIT], np.uint8),
                who=np.frombuffer(address, np.uint8)[None, :],
                at=np.array([START + rtt]), read_at=START + rtt, ttl_left=np.array([0]),
            )  # fmt: skip
    group.ending.stop(START + 3 * 10**9)
    return TraceView(group.columns, line)


def ended(group: Group, lines: list[TraceView]) -> Ended:
    return Ended(group, np.array([line.number for line in lines]), {})


def by_tally(target: str, line: TraceView) -> dict[str, Any]:
    frame = Report(JobId("1")).final(line, Failure.NONE)
    assert frame.outcome is not None
    gathered = tally.Gathered(
        target, HERE, frame.target_address, frame.sent, frame.replies, frame.outcome.duration_ns
    )
    (row,) = tally.colo_rows([gathered])
    found: dict[str, Any] = msgspec.to_builtins(rows.TargetRow(target=target, colos=[row]))
    return found


@pytest.mark.parametrize("family", Family)
@given(answers=ANSWERS, target_ttl=st.integers(1, TTLS + 2))
def test_lines_equal_those_of_the_tally(
    family: Family, answers: list[list[Any]], target_ttl: int
) -> None:
    """Field by field, in the same order; times except for the last digit."""
    spec = TraceSpec(bytes(4), max_ttl=TTLS, packets_per_ttl=3)
    group = Group(spec, family, lines=4)
    line = traced(group, answers, target_ttl=target_ttl, number=1)
    written, others = LineWriter(HERE).write(ended(group, [line]), ['a "target"'])
    nodes = [hop["nodes"] for hop in by_tally("t", line)["colos"][0]["hops"]]
    if others:
        least = min(rtt for at_hop in answers for each in at_hop if each for rtt in each[1:])
        assert least < LEAST_NS or any(len(at_hop) > 1 for at_hop in nodes)
        return
    assert written.endswith(b"}\n")
    wanted = by_tally('a "target"', line)
    found = json.loads(written)
    assert _shape(found) == _shape(wanted)
    assert _numbers(found) == pytest.approx(_numbers(wanted), rel=1e-12)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [(name, _shape(each)) for name, each in value.items()]
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return "a time" if isinstance(value, float) else value


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, float) else []


def test_unusual_traces_are_left_to_the_tally() -> None:
    """A label, a probe that could not be sent, a queue overflow."""
    spec = TraceSpec(bytes(4), max_ttl=TTLS, packets_per_ttl=3)
    whole = [[(1, MS)] * 3] * TTLS
    group = Group(spec, Family.IPV4, lines=8)
    odd = [traced(group, whole, target_ttl=4, number=number) for number in range(4)]
    group.columns.aside(odd[0].number).labels[0] = ("!X",)
    group.sending.failed(odd[1].number, 3, 1)
    group.columns.overflows[odd[2].number] = 1
    written, others = LineWriter(HERE).write(ended(group, odd), list("abcd"))
    assert json.loads(written)["target"] == "d"
    assert others == [0, 1, 2]
