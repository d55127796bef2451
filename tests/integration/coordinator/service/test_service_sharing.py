"""Identical requests share a job; each caller leaves on its own."""

import asyncio
import gc
import time
from typing import Any

import pytest
from colotrace_coordinator.jobs.task import JobResult
from colotrace_proto.deadlines import JOIN_WINDOW_S
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    Ack,
    Cancel,
    PacketType,
)
from eventually import until
from integration.coordinator.service.traced import Coordinator, cancelled, only, soon
from msgspec import UNSET
from msgspec.structs import replace
from unit.coordinator.scripted_agent import path


async def test_identical_requests_share_a_job(coordinator: Coordinator) -> None:
    """Same account and options at the same time: one trace, two answers."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(), coordinator.begin()]
    job = await agent.take()
    await agent.say(path(job.job_id))
    first, second = [await soon(answer) for answer in answers]
    assert first == second
    assert coordinator.number("colotrace_jobs_shared_total") == 1
    assert coordinator.number("colotrace_jobs_total", code="0") == 1


async def test_hold_up_does_not_prolong_the_window(coordinator: Coordinator) -> None:
    """The loop stands still for longer than the window: the second request gets its own trace."""
    agent = await coordinator.agent()
    first = coordinator.begin()
    job = await agent.take()
    time.sleep(JOIN_WINDOW_S + 0.05)  # noqa: ASYNC251 - it blocks the loop
    second = coordinator.begin()
    other = await agent.take()
    assert other.job_id != job.job_id
    for each in (job, other):
        await agent.say(path(each.job_id))
    for answer in (first, second):
        await soon(answer)
    assert coordinator.number("colotrace_jobs_shared_total") == 0


async def test_agents_are_told_whose_a_job_is(coordinator: Coordinator) -> None:
    """Jobs of one account have the same owner."""
    agent = await coordinator.agent()
    answers = [
        coordinator.begin("8.8.8.8", "8.8.4.4"),
        coordinator.begin("1.1.1.1", account="other"),
    ]
    jobs = {job.target: job for job in [await agent.take() for _ in range(3)]}
    for job in jobs.values():
        await agent.say(path(job.job_id))
    for answer in answers:
        await soon(answer)
    assert jobs["8.8.8.8"].owner is not None
    assert jobs["8.8.8.8"].owner == jobs["8.8.4.4"].owner != jobs["1.1.1.1"].owner


@pytest.mark.parametrize(
    "other",
    [
        {"account": "other"},
        {"options": Options(flow=1)},
        {"options": Options(packet_type=PacketType.UDP)},
        {"spent_s": 5.0},
    ],
)
async def test_what_differs_is_not_shared(coordinator: Coordinator, other: dict[str, Any]) -> None:
    """Another account, flow or option is another trace; so is one that must end earlier."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(), coordinator.begin(**other)]
    jobs = [await agent.take(), await agent.take()]
    for job in jobs:
        await agent.say(path(job.job_id))
    for answer in answers:
        await soon(answer)
    assert jobs[0].job_id != jobs[1].job_id


async def test_a_late_request_joins_one_with_less_time(coordinator: Coordinator) -> None:
    """It has its answer all the earlier."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(spent_s=5.0), coordinator.begin(spent_s=4.9), coordinator.begin()]
    job = await agent.take()
    await agent.say(path(job.job_id))
    for answer in answers:
        await soon(answer)
    assert coordinator.number("colotrace_jobs_shared_total") == 2


async def test_what_a_request_took_to_arrive_is_off_its_jobs_time(
    coordinator: Coordinator,
) -> None:
    """The answer is due all the same."""
    agent = await coordinator.agent()
    answers = [coordinator.begin("8.8.8.8"), coordinator.begin("8.8.4.4", spent_s=6.0)]
    jobs = [await agent.take(), await agent.take()]
    assert 5_500 < jobs[0].remaining_ms - jobs[1].remaining_ms < 6_500
    assert jobs[0].remaining_ms < 25_000
    for job in jobs:
        await agent.say(path(job.job_id))
    for answer in answers:
        await soon(answer)


async def test_each_caller_has_a_cancel_of_its_own(coordinator: Coordinator) -> None:
    """The job goes on while one is left, and is taken back when the last one leaves."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(), coordinator.begin()]
    job = await agent.take()
    await cancelled(answers[0])
    await agent.say(path(job.job_id, failure=None))
    assert await agent.expect(Ack) == Ack(job.job_id, 1)
    await cancelled(answers[1])
    assert await agent.expect(Cancel) == Cancel(job.job_id)
    assert coordinator.number("colotrace_jobs_total", code="cancelled") == 1
    assert coordinator.number("colotrace_jobs_running") == 0


async def test_cancelled_job_is_not_joined(coordinator: Coordinator) -> None:
    """Who asks the same right after gets a trace of its own."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    await agent.take()
    await cancelled(answer)
    await agent.expect(Cancel)
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(path(job.job_id))
    assert only(await soon(answer)).error == ""


async def test_multipath_is_a_job_of_its_own(coordinator: Coordinator) -> None:
    """It does not join a plain one that has just begun."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(options=Options(multipath=many)) for many in (False, True)]
    jobs = [await agent.take() for _ in answers]
    assert [job.multipath for job in jobs] == [False, True]
    for job in jobs:
        await agent.say(path(job.job_id))
    plain, many = [only(await soon(answer)) for answer in answers]
    assert (plain.links, many.links) == (UNSET, [])


async def test_result_is_freed_with_its_answer(coordinator: Coordinator) -> None:
    """Not only when the job would have been given up, 20 s later: a large answer's results take
    200 MB. A coordinator that was held up looks at all jobs once more before."""
    agent = await coordinator.agent()
    answer = coordinator.begin("8.8.8.8")
    job = await agent.take()
    await asyncio.sleep(2 * JOIN_WINDOW_S)
    replies = replace(path(job.job_id).replies, rtt_ns=(2_000_000, 2_345_678))
    await agent.say(replace(path(job.job_id), replies=replies))
    await soon(answer)
    del answer

    def freed() -> bool:
        gc.collect()
        kept = [each for each in gc.get_objects() if isinstance(each, JobResult)]
        return replies.rtt_ns not in [each.replies.rtt_ns for each in kept]

    await until(freed)
