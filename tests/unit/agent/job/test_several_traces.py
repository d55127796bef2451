"""Jobs of several traces: flows of a multipath job, and packet types."""

import errno

import pytest
from colotrace_agent.job.admission import Jobs
from colotrace_agent.model import AnswerKind, Heard
from colotrace_proto import tally
from colotrace_proto.messages import (
    Accepted,
    Failure,
    Frame,
    JobId,
    PacketType,
)
from colotrace_proto.notices import Notice, NoticeCode
from msgspec.structs import replace
from unit.agent.fakes import EmittingJobs, FakeProber, FakeResolver, job, outcome_of, settle

ONE = bytes([1, 1, 1, 1])


async def test_a_multipath_job_traces_flow_by_flow(jobs: Jobs, prober: FakeProber) -> None:
    """The first flow that ends is reported at once, the others together; the links come last."""
    frames: list[Frame] = []
    jobs.take(job(max_ttl=2, multipath=True), frames.append)
    await settle()
    first = list(prober.open)
    assert [trace.spec.flow for trace in first] == list(range(7))
    for trace in first:
        for ordinal in prober.ordinals[trace, 1]:
            prober.answer(trace, ordinal)
        assert len(frames) <= 1
        prober.stop(trace)
    assert prober.begun == 7
    assert outcome_of(frames) is Failure.NONE
    assert [len(frame.replies.ttl) for frame in frames] == [2, 12]
    flows = [flow for frame in frames for flow in frame.flows]
    assert [flow.number for flow in flows] == list(range(7))
    assert [flow.identifier for flow in flows] == [trace.flow.identifier for trace in first]
    replies = tally.merged([frame.replies for frame in frames])
    assert replies.flow == tuple(number for number in range(7) for _ in range(2))
    for number, trace in enumerate(first):
        assert replies.ordinal[2 * number : 2 * number + 2] == tuple(prober.ordinals[trace, 1])
    # The target answered at TTL 1: what was sent beyond is not the flows' own.
    assert frames[-1].sent == (14, 0)
    assert len(jobs) == 0


async def test_a_cancelled_multipath_job_ends_with_the_flows_so_far(
    jobs: Jobs, prober: FakeProber
) -> None:
    """All that are under way are stopped, none begins, and there is one last frame."""
    frames: list[Frame] = []
    jobs.take(job(max_ttl=2, multipath=True), frames.append)
    await settle()
    prober.answer(next(iter(prober.open)))
    jobs.cancel(JobId("job-1"))
    assert outcome_of(frames) is Failure.CANCELLED
    assert sum(len(frame.replies.ttl) for frame in frames) == 1
    assert (prober.begun, prober.open) == (7, {})


async def test_more_flows_do_not_begin_when_time_is_short(jobs: Jobs, prober: FakeProber) -> None:
    """Two waits before the end; it is no failure, and it is said."""
    frames: list[Frame] = []
    short = replace(job(max_ttl=1, multipath=True), remaining_ms=1_500)
    jobs.take(short, frames.append)
    await settle()
    for number, trace in enumerate(list(prober.open)):
        router = bytes([198, 18, 1, 1 + number % 3])
        heard = Heard(
            AnswerKind.TIME_EXCEEDED, router, trace.flow.key, None, tag=trace.flow.marks.tag(0)
        )
        trace.heard(heard, at=prober.now + 1, read_at=prober.now + 1)
        prober.stop(trace)
    assert outcome_of(frames) is Failure.NONE
    assert prober.begun == 7
    assert frames[-1].outcome is not None
    assert Notice(NoticeCode.NO_TIME_FOR_FLOWS) in frames[-1].outcome.notices


@pytest.fixture
def both(prober: FakeProber, resolver: FakeResolver) -> Jobs:
    """An agent that can build GRE and ICMP."""
    return EmittingJobs(
        prober,  # type: ignore[arg-type]
        resolver,  # type: ignore[arg-type]
        packet_types=frozenset({PacketType.ICMP, PacketType.GRE}),
        max_jobs=5,
        allow_private=False,
    )


async def test_gre_icmp_is_two_traces_in_one_row(both: Jobs, prober: FakeProber) -> None:
    """Sums, and a node for each type."""
    frames: list[Frame] = []
    taken = both.take(job(packet_type=PacketType.GRE_ICMP, packets_per_ttl=2), frames.append)
    assert isinstance(taken, Accepted)
    await settle()
    assert [trace.spec.packet_type for trace in prober.open] == [PacketType.GRE, PacketType.ICMP]
    for trace in list(prober.open):
        prober.answer(trace)
        prober.stop(trace)
    assert outcome_of(frames) is Failure.NONE
    assert frames[-1].sent == (4,)
    labels = [node.labels for frame in frames for node in frame.replies.nodes]
    assert labels == [("GRE",), ("ICMP",)]


async def test_one_of_two_types_may_not_begin(both: Jobs, prober: FakeProber) -> None:
    """Then the other is all there is, and a notice says so; without either it is a failure."""
    prober.refuses, prober.only = OSError(errno.EPERM, "Operation not permitted"), PacketType.GRE
    for only, failure in ((PacketType.GRE, Failure.NONE), (None, Failure.SEND)):
        prober.only = only
        frames: list[Frame] = []
        both.take(job(packet_type=PacketType.GRE_ICMP), frames.append)
        await settle()
        for trace in list(prober.open):
            prober.stop(trace)
        assert outcome_of(frames) is failure
        outcome = frames[-1].outcome
        assert outcome is not None
        (notice,) = outcome.notices or (outcome.cause,)
        words = "Operation not permitted"
        assert notice == Notice(NoticeCode.CANNOT_SEND, name="1.1.1.1", reason=words)
        assert frames[-1].target_address == ONE
