"""Each job is accepted or refused at once, and ends with one outcome whatever happens."""

import asyncio
import errno
import ipaddress
from dataclasses import replace

import pytest
from colotrace_agent.engine.identity import NoFlowLeftError
from colotrace_agent.job.admission import Jobs
from colotrace_agent.job.frames import Report
from colotrace_agent.model import AnswerKind, Heard
from colotrace_proto.addresses import is_public
from colotrace_proto.messages import (
    Accepted,
    Failure,
    Family,
    Frame,
    JobId,
    PacketType,
    RefusalReason,
    Refused,
    UnknownJob,
)
from colotrace_proto.notices import Notice, NoticeCode, sentence
from unit.agent.fakes import FakeProber, FakeResolver, job

ONE, TWO = bytes([1, 1, 1, 1]), bytes([2, 2, 2, 2])


async def settle() -> None:
    """Let what is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


def outcome_of(frames: list[Frame]) -> Failure:
    """How the job ended; there is one end, and it is the last frame."""
    ends = [frame.outcome for frame in frames if frame.outcome is not None]
    assert len(ends) == 1
    assert frames[-1].outcome is ends[0]
    return ends[0].failure


async def test_a_job_is_traced_and_told_in_frames(jobs: Jobs, prober: FakeProber) -> None:
    """The first news at once, the end at once, sequence numbers without gaps."""
    frames: list[Frame] = []
    assert jobs.take(job(packets_per_ttl=2), frames.append) == Accepted(JobId("job-1"))
    await settle()
    prober.hear(ONE)
    assert [frame.replies.ttl for frame in frames] == [(1,)]
    prober.end(ONE)
    assert outcome_of(frames) is Failure.NONE
    assert [frame.sequence for frame in frames] == [1, 2]
    assert frames[-1].target_address == ONE
    assert len(jobs) == 0


async def test_progress_is_merged(jobs: Jobs, prober: FakeProber) -> None:
    """News that follow hard upon others wait for the next frame."""
    frames: list[Frame] = []
    jobs.take(job(packets_per_ttl=3), frames.append)
    await settle()
    prober.hear(ONE, 0)
    prober.hear(ONE, 1)
    prober.hear(ONE, 2)
    assert len(frames) == 1
    prober.end(ONE)
    assert [len(frame.replies.ttl) for frame in frames] == [1, 2]
    await asyncio.sleep(0.06)
    assert len(frames) == 2


async def test_of_many_jobs_progress_is_rarer(
    jobs: Jobs, prober: FakeProber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them together tell of it so often; the end still comes at once."""
    monkeypatch.setattr("colotrace_agent.job.machine.PROGRESS_RATE", 0.1)
    frames: list[Frame] = []
    jobs.take(job("job-1", packets_per_ttl=2), frames.append)
    jobs.take(job("job-2", "2.2.2.2"), list[Frame]().append)
    await settle()
    prober.hear(ONE, 0)
    prober.hear(ONE, 1)
    await asyncio.sleep(0.06)
    assert frames == []
    prober.end(ONE)
    assert [len(frame.replies.ttl) for frame in frames] == [2]
    jobs.cancel_all()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("10.0.0.1", RefusalReason.POLICY),
        ("127.0.0.1", RefusalReason.POLICY),
        ("224.0.0.1", RefusalReason.POLICY),
        ("::1", RefusalReason.POLICY),
        ("2606:4700:4700::1111", RefusalReason.NO_FAMILY),
    ],
)
async def test_an_address_that_cannot_be_traced_is_refused_at_once(
    jobs: Jobs, prober: FakeProber, target: str, reason: RefusalReason
) -> None:
    """With the reason, in words too."""
    prober.families = frozenset({Family.IPV4})
    refused = jobs.take(job(target=target), list[Frame]().append)
    assert isinstance(refused, Refused)
    assert refused.reason is reason
    assert refused.notice is not None


async def test_what_is_not_known_is_refused(jobs: Jobs) -> None:
    """A packet type, or a newer coordinator's wish."""
    unknown = UnknownJob(JobId("x"), Notice(NoticeCode.UNKNOWN_PACKET_TYPE, count=9))
    for asked in (unknown, job(packet_type=PacketType.GRE)):
        refused = jobs.take(asked, list[Frame]().append)
        assert isinstance(refused, Refused)
        assert refused.reason is RefusalReason.UNSUPPORTED


async def test_beyond_its_bound_the_agent_is_busy(jobs: Jobs, prober: FakeProber) -> None:
    """Until one has ended; one that runs already is accepted again."""
    for number in range(1, 6):
        assert isinstance(
            jobs.take(job(f"job-{number}", f"1.1.1.{number}"), list[Frame]().append), Accepted
        )
    await settle()
    refused = jobs.take(job("job-6"), list[Frame]().append)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.BUSY
    assert isinstance(jobs.take(job("job-2"), list[Frame]().append), Accepted)
    assert len(jobs) == len(prober.traces) == 5
    prober.end(bytes([1, 1, 1, 3]))
    assert isinstance(jobs.take(job("job-6", "2.2.2.2"), list[Frame]().append), Accepted)
    jobs.cancel_all()


@pytest.mark.parametrize(
    ("addresses", "families", "failure"),
    [
        ([], frozenset(Family), Failure.UNRESOLVABLE),
        ([bytes([10, 0, 0, 1])], frozenset(Family), Failure.POLICY),
        ([ONE], frozenset({Family.IPV6}), Failure.NO_FAMILY),
    ],
)
async def test_a_name_is_judged_by_what_it_comes_out_as(
    jobs: Jobs,
    prober: FakeProber,
    resolver: FakeResolver,
    addresses: list[bytes],
    families: frozenset[Family],
    failure: Failure,
) -> None:
    """The agent's own policy holds after resolution."""
    prober.families = families
    if addresses:
        resolver.names["www.example"] = addresses
    frames: list[Frame] = []
    assert isinstance(jobs.take(job(target="www.example"), frames.append), Accepted)
    await settle()
    assert outcome_of(frames) is failure
    assert frames[-1].outcome is not None
    assert frames[-1].outcome.cause is not None
    assert prober.traces == {}


async def test_the_first_address_of_a_working_family_is_traced(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver
) -> None:
    """Where the preferred one cannot be sent, the next is."""
    prober.families = frozenset({Family.IPV4})
    resolver.names["www.example"] = [bytes([0x26]) + bytes(15), TWO, ONE]
    jobs.take(job(target="www.example"), list[Frame]().append)
    await settle()
    assert set(prober.traces) == {TWO}
    jobs.cancel_all()


@pytest.mark.parametrize("options", [{}, {"multipath": True}, {"packet_type": PacketType.UDP}])
async def test_an_address_without_a_route_gives_way_to_the_next(
    jobs: Jobs,
    prober: FakeProber,
    resolver: FakeResolver,
    options: dict[str, bool | PacketType],
) -> None:
    """Whatever is traced; an address that may not be is passed over, too."""
    resolver.names["www.example"] = [bytes([0x26]) + bytes(15), bytes([10, 0, 0, 1]), TWO, ONE]
    prober.unrouted = {bytes([0x26]) + bytes(15)}
    frames: list[Frame] = []
    jobs.take(job(target="www.example", **options), frames.append)
    await settle()
    assert set(prober.traces) == {TWO}
    assert frames == []
    jobs.cancel_all()


async def test_no_address_with_a_route(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver
) -> None:
    """Code 4, with the address that the host prefers."""
    resolver.names["www.example"] = [TWO, ONE]
    prober.unrouted = {ONE, TWO}
    frames: list[Frame] = []
    jobs.take(job(target="www.example"), frames.append)
    await settle()
    assert outcome_of(frames) is Failure.SEND
    assert frames[-1].target_address == TWO


@pytest.mark.parametrize(
    ("addresses", "failure"),
    [
        ([bytes([10, 0, 0, 1])], Failure.POLICY),
        ([bytes([127, 0, 0, 1]), bytes([224, 0, 0, 1])], Failure.POLICY),
        ([bytes([0xFC]) + bytes(15)], Failure.POLICY),
        ([bytes([0x26]) + bytes(15), bytes([10, 0, 0, 1])], Failure.NO_FAMILY),
    ],
)
async def test_what_a_name_resolves_to_is_not_told_where_it_may_not_be_traced(
    jobs: Jobs,
    prober: FakeProber,
    resolver: FakeResolver,
    addresses: list[bytes],
    failure: Failure,
) -> None:
    """Neither in the frame nor in words, whatever families the agent has."""
    prober.families = frozenset({Family.IPV4})
    resolver.names["www.example"] = addresses
    frames: list[Frame] = []
    jobs.take(job(target="www.example"), frames.append)
    await settle()
    assert outcome_of(frames) is failure
    assert frames[-1].outcome is not None
    for address in addresses:
        ip = ipaddress.ip_address(address)
        if not is_public(ip):
            assert frames[-1].target_address != address
            assert str(ip) not in sentence(frames[-1].outcome.cause)


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENETUNREACH, "Network is unreachable"), NoFlowLeftError()],
)
async def test_a_trace_that_cannot_begin_is_the_agents_fault(
    jobs: Jobs, prober: FakeProber, fault: Exception
) -> None:
    """No route, no flow: said so, with the address."""
    prober.refuses = fault
    frames: list[Frame] = []
    jobs.take(job(), frames.append)
    await settle()
    assert outcome_of(frames) is Failure.SEND
    assert frames[-1].target_address == ONE


@pytest.mark.parametrize("target", ["1.1.1.1", "host.example"])
async def test_a_fault_of_the_agents_own_ends_one_job(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver, target: str
) -> None:
    """The others go on."""
    frames: list[Frame] = []
    prober.refuses = resolver.fault = RuntimeError("unforeseen")
    jobs.take(job(target=target), frames.append)
    await settle()
    assert outcome_of(frames) is Failure.INTERNAL
    prober.refuses = resolver.fault = None
    assert isinstance(jobs.take(job("job-2"), frames.append), Accepted)
    await settle()
    jobs.cancel_all()


async def test_a_fault_in_a_listener_ends_one_job(
    jobs: Jobs, prober: FakeProber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not reach the prober, whose turn is shared by all traces."""
    frames: list[Frame] = []
    jobs.take(job(), frames.append)
    await settle()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Report, "progress", fail)
    monkeypatch.setattr(Report, "final", fail)
    prober.hear(ONE)
    await settle()
    assert outcome_of(frames) is Failure.INTERNAL
    assert len(jobs) == 0
    assert not prober.open  # it sends nothing more


async def test_a_cancelled_job_ends_with_what_there_is(jobs: Jobs, prober: FakeProber) -> None:
    """Once; cancelling again, or an unknown one, does nothing."""
    frames: list[Frame] = []
    jobs.take(job(packets_per_ttl=2), frames.append)
    await settle()
    prober.hear(ONE)
    for job_id in ("job-1", "job-1", "unknown"):
        jobs.cancel(JobId(job_id))
    assert outcome_of(frames) is Failure.CANCELLED
    assert sum(len(frame.replies.ttl) for frame in frames) == 1


async def test_a_job_may_be_cancelled_while_its_name_is_looked_up(jobs: Jobs) -> None:
    """Nothing is left of it."""
    frames: list[Frame] = []
    jobs.take(job(target="slow.example"), frames.append)
    await settle()
    jobs.cancel(JobId("job-1"))
    assert outcome_of(frames) is Failure.CANCELLED
    await settle()
    assert len(jobs) == 0


@pytest.mark.parametrize("target", ["1.1.1.1", "slow.example"])
async def test_a_jobs_time_runs_out(jobs: Jobs, target: str) -> None:
    """Traced so far, or not even resolved."""
    ended = asyncio.Event()
    frames: list[Frame] = []

    def emit(frame: Frame) -> None:
        frames.append(frame)
        if frame.outcome is not None:
            ended.set()

    jobs.take(replace(job(target=target), remaining_ms=1), emit)
    await asyncio.wait_for(ended.wait(), 5)
    assert outcome_of(frames) is Failure.DEADLINE


async def test_a_draining_agent_finishes_what_runs_and_takes_no_more(
    jobs: Jobs, prober: FakeProber
) -> None:
    """The last frame is out before it says that it is done."""
    frames: list[Frame] = []
    jobs.take(job(), frames.append)
    await settle()
    finishing = asyncio.create_task(jobs.finish(within_s=30))
    await settle()
    refused = jobs.take(job("job-2"), frames.append)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.DRAINING
    assert not finishing.done()
    prober.end(ONE)
    await finishing
    assert outcome_of(frames) is Failure.NONE


async def test_a_drain_has_an_end(jobs: Jobs) -> None:
    """What still runs then is cancelled."""
    frames: list[Frame] = []
    jobs.take(job(), frames.append)
    await settle()
    await jobs.finish(within_s=0.01)
    assert outcome_of(frames) is Failure.CANCELLED


async def test_a_multipath_job_traces_flow_by_flow(jobs: Jobs, prober: FakeProber) -> None:
    """The first flow that ends is told of at once, the rest merged; the links come last."""
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
    return Jobs(
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
