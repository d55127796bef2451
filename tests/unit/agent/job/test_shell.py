"""An accepted job reports progress, and ends with one outcome whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from colotrace_agent.job.admission import CONSENT_S, Jobs
from colotrace_agent.job.frames import Report
from colotrace_proto.messages import (
    Accepted,
    Failure,
    Frame,
    JobId,
)
from unit.agent.fakes import FakeProber, FakeResolver, job, outcome_of, settle

ONE = bytes([1, 1, 1, 1])


@pytest.fixture
async def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Advances the loop's clock by so many seconds, and lets what is due run."""
    loop = asyncio.get_running_loop()
    passed, real = 0.0, loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + passed)

    async def advance(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        await settle()

    return advance


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


async def test_progress_is_merged(
    jobs: Jobs, prober: FakeProber, ahead: Callable[[float], Awaitable[None]]
) -> None:
    """New replies shortly after a frame are in the next one; none comes after the end."""
    frames: list[Frame] = []
    jobs.take(job(packets_per_ttl=3), frames.append)
    await settle()
    prober.hear(ONE, 0)
    prober.hear(ONE, 1)
    prober.hear(ONE, 2)
    assert len(frames) == 1
    prober.end(ONE)
    assert [len(frame.replies.ttl) for frame in frames] == [1, 2]
    await ahead(10)
    assert len(frames) == 2


async def test_of_many_jobs_progress_is_rarer(
    jobs: Jobs,
    prober: FakeProber,
    monkeypatch: pytest.MonkeyPatch,
    ahead: Callable[[float], Awaitable[None]],
) -> None:
    """All jobs together keep to the rate; the last frame still comes at once."""
    monkeypatch.setattr("colotrace_agent.job.machine.PROGRESS_RATE", 0.1)
    frames: list[Frame] = []
    jobs.take(job("job-1", packets_per_ttl=2), frames.append)
    jobs.take(job("job-2", "2.2.2.2"), list[Frame]().append)
    await settle()
    prober.hear(ONE, 0)
    prober.hear(ONE, 1)
    await ahead(1)
    assert frames == []
    prober.end(ONE)
    assert [len(frame.replies.ttl) for frame in frames] == [2]
    jobs.cancel_all()


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
async def test_a_jobs_time_runs_out(
    jobs: Jobs, target: str, ahead: Callable[[float], Awaitable[None]]
) -> None:
    """Traced so far, or not even resolved."""
    frames: list[Frame] = []
    jobs.take(job(target=target), frames.append)
    await settle()
    assert frames == []
    await ahead(20)
    assert outcome_of(frames) is Failure.DEADLINE


async def test_address_of_a_name_is_reported_before_it_is_probed(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver
) -> None:
    """The trace starts once the coordinator has acknowledged the report."""
    resolver.names["www.example"] = [ONE]
    ready: list[Callable[[], Frame | None]] = []
    jobs.take(job(target="www.example"), list[Frame]().append, ready=ready.append)
    await settle()
    assert [make() for make in ready] == [Frame(JobId("job-1"), 1, ONE)]
    assert not prober.traces
    jobs.acknowledged(JobId("another"))
    await settle()
    assert not prober.traces
    jobs.acknowledged(JobId("job-1"))
    await settle()
    assert set(prober.traces) == {ONE}
    jobs.cancel_all()


async def test_coordinator_that_does_not_answer_does_not_keep_a_name_from_being_traced(
    jobs: Jobs,
    prober: FakeProber,
    resolver: FakeResolver,
    ahead: Callable[[float], Awaitable[None]],
) -> None:
    resolver.names["www.example"] = [ONE]
    jobs.take(job(target="www.example"), list[Frame]().append, ready=lambda _: None)
    await settle()
    await ahead(CONSENT_S - 0.1)
    assert not prober.traces
    await ahead(0.2)
    assert set(prober.traces) == {ONE}
    jobs.cancel_all()


async def test_job_that_is_cancelled_before_its_name_may_be_probed_sends_nothing(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver
) -> None:
    resolver.names["www.example"] = [ONE]
    frames: list[Frame] = []
    jobs.take(job(target="www.example"), frames.append, ready=lambda _: None)
    await settle()
    jobs.cancel(JobId("job-1"))
    await settle()
    assert outcome_of(frames) is Failure.CANCELLED
    assert not prober.traces
    assert len(jobs) == 0
