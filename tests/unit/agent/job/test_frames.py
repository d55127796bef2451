"""Frames hold each reply once and add up to the trace."""

import errno

import pytest
from colotrace_agent.engine.trace import Trace
from colotrace_agent.job.frames import Report
from colotrace_agent.model import AnswerKind, TraceSpec
from colotrace_proto import tally
from colotrace_proto.messages import (
    Failure,
    FlowFields,
    Frame,
    JobId,
    NodeKind,
    PacketType,
    Replies,
)
from hypothesis import given
from hypothesis import strategies as st
from unit.agent.made import SOURCE, TARGET, answer, flow, send_all

FLOW = flow(PacketType.ICMP)
PROBES, START, MS = 9, 1_000_000_000, 1_000_000


def traced(*, failed: int = 0) -> Trace:
    """Three TTLs, three packets each, of which the first ones could not leave."""
    trace = Trace(TraceSpec(TARGET, max_ttl=3), FLOW, now=START)
    send_all(trace, at=START, fails=lambda ordinal, _: ordinal < failed)
    return trace


def hear(trace: Trace, ordinal: int, *, code: int = 0) -> None:
    """An answer of the router at that probe's TTL, or its refusal."""
    kind = AnswerKind.UNREACHABLE if code else AnswerKind.TIME_EXCEEDED
    router = bytes([198, 18, ordinal // 3, 1])
    heard = answer(FLOW, ordinal, kind, responder=router, code=code)
    at = START + (1 + ordinal) * MS
    trace.heard(heard, at=at, read_at=at)


@given(st.permutations(range(PROBES)), st.sets(st.integers(0, PROBES)))
def test_frames_add_up_to_the_trace(order: list[int], told_after: set[int]) -> None:
    """However replies are divided into frames, they keep their order of arrival."""
    trace, report = traced(), Report(JobId("a"))
    frames: list[Frame] = []
    for place, ordinal in enumerate(order):
        if place in told_after:
            frames.append(report.progress(trace))
        hear(trace, ordinal)
    trace.stop(START + 50 * MS)
    frames.append(report.final(trace, Failure.NONE))
    whole = Replies()
    for frame in frames:
        whole = tally.merged((whole, frame.replies))
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert whole.ttl == tuple(1 + ordinal // 3 for ordinal in order)
    assert whole.rtt_ns == tuple((1 + ordinal) * MS for ordinal in order)
    assert whole.ordinal == tuple(order)
    assert whole.flow == (0,) * PROBES
    addresses = [whole.nodes[node].address for node in whole.node]
    assert addresses == [bytes([198, 18, ordinal // 3, 1]) for ordinal in order]
    assert frames[-1].sent == (3, 3, 3)
    assert frames[-1].outcome is not None
    assert frames[-1].outcome.duration_ns == 50 * MS


def test_address_with_two_kinds_of_answers_is_two_nodes() -> None:
    """Each has its own labels."""
    trace, report = traced(), Report(JobId("a"))
    hear(trace, 0)
    hear(trace, 3, code=13)
    nodes = report.progress(trace).replies.nodes
    assert [(node.kind, node.labels) for node in nodes] == [
        (NodeKind.TRANSIT, ()),
        (NodeKind.BARRIER, ("!X",)),
    ]


def test_outcome_has_the_counters_of_the_trace() -> None:
    """Duplicates and foreign packets are counted apart, and are no replies."""
    trace, report = traced(), Report(JobId("a"))
    for ordinal in (0, 0, 1, 500):
        hear(trace, ordinal)
    trace.stop(START)
    frame = report.final(trace, Failure.NONE)
    assert frame.outcome is not None
    assert (frame.outcome.duplicates, frame.outcome.foreign, frame.outcome.late) == (1, 1, 0)
    assert len(frame.replies.ttl) == 2


def test_unsent_probes_are_reported_with_their_errors() -> None:
    """As a notice if some were sent, as a failure if none was."""
    for failed, failure in ((2, Failure.NONE), (PROBES, Failure.SEND)):
        trace = traced(failed=failed)
        trace.stop(START)
        outcome = Report(JobId("a")).final(trace, Failure.NONE).outcome
        assert outcome is not None
        assert outcome.failure is failure
        (notice,) = outcome.notices or (outcome.cause,)
        assert notice is not None
        assert notice.errors == ((errno.EPERM, failed),)


def test_cancelled_trace_without_sent_probes_stays_cancelled() -> None:
    """It does not become a failure to send."""
    trace = traced(failed=PROBES)
    trace.stop(START)
    outcome = Report(JobId("a")).final(trace, Failure.CANCELLED).outcome
    assert outcome is not None
    assert outcome.failure is Failure.CANCELLED


@pytest.mark.parametrize(
    ("packet_type", "fields"),
    [
        (PacketType.ICMP, FlowFields(PacketType.ICMP, 3, identifier=20_001)),
        (PacketType.UDP, FlowFields(PacketType.UDP, 3, 20_001, 33_434)),
        (PacketType.TCP, FlowFields(PacketType.TCP, 3, 20_001, 33_434)),
        (PacketType.GRE, FlowFields(PacketType.GRE, 3, identifier=20_001)),
    ],
)
def test_header_fields_of_a_flow_are_reported_once(
    packet_type: PacketType, fields: FlowFields
) -> None:
    """Ports, or the identifier; the source address is in each frame."""
    spec = TraceSpec(TARGET, packet_type, flow=3)
    trace, report = Trace(spec, flow(packet_type), now=START), Report(JobId("a"))
    first, second = report.progress(trace), report.final(trace, Failure.NONE)
    assert first.flows == (fields,)
    assert second.flows == ()
    assert first.source_address == second.source_address == SOURCE
