"""Where the coordinator itself took a job's time, the row and the metrics say so."""

import asyncio
import time

import pytest
from colotrace_coordinator.jobs import faults
from colotrace_proto.codes import RowCode, row_failed
from colotrace_proto.messages import ColoName
from integration.coordinator.service.traced import Coordinator, only, soon
from unit.coordinator.scripted_agent import path


async def test_rows_that_got_no_turn_name_the_coordinator(coordinator: Coordinator) -> None:
    """More offers than may be unanswered, and agents that answer none."""
    colos = tuple(ColoName(f"den{number:02}") for number in range(1, 5))
    for colo in colos:
        await coordinator.agent(f"a-{colo}", colo=colo)
    targets = [f"8.8.{number}.8" for number in range(90)]
    answered = await soon(coordinator.begin(*targets, colos=colos, spent_s=22.1))
    # Not "delayed it by": a busy machine may hold up the offers that were sent.
    named = [each for each in answered.messages if "had no time to ask" in each.message]
    assert 10 < len(named) < len(targets) * len(colos)
    assert {each.code for each in named} == {row_failed(RowCode.LOST)}
    waited_for = {"waited_for": "coordinator"}
    assert coordinator.number("colotrace_jobs_not_started_total", **waited_for) == len(named)
    assert coordinator.number("colotrace_jobs_overloaded_total") >= len(named)


async def test_hold_up_before_the_start_is_no_agents_fault(coordinator: Coordinator) -> None:
    """The loop stands still until it is too late to start the job."""
    await coordinator.agent()
    answer = coordinator.begin(spent_s=22.4)
    await asyncio.sleep(0)
    time.sleep(3.0)  # noqa: ASYNC251 - it blocks the loop
    answered = await soon(answer)
    (message,) = answered.messages
    assert message.code == row_failed(RowCode.LOST)
    assert "the coordinator is overloaded" in message.message
    assert coordinator.number("colotrace_jobs_overloaded_total") == 1


async def test_hold_up_of_a_running_job_is_told_in_its_row(coordinator: Coordinator) -> None:
    """The agent did not finish in the time that was left."""
    agent = await coordinator.agent()
    answer = coordinator.begin(spent_s=20.0)
    job = await agent.take()
    await agent.say(path(job.job_id, failure=None))
    time.sleep(3.0)  # noqa: ASYNC251 - it blocks the loop
    answered = await soon(answer)
    assert only(answered).hops
    (message,) = answered.messages
    assert message.code == row_failed(RowCode.LOST)
    assert "the coordinator is overloaded, and delayed it by " in message.message
    assert coordinator.number("colotrace_jobs_overloaded_total") == 1


async def test_row_of_a_slow_agent_does_not_name_the_coordinator(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine may hold up the test itself for a second."""
    monkeypatch.setattr(faults, "DELAYED_S", 10.0)
    agent = await coordinator.agent()
    answer = coordinator.begin(spent_s=22.0)
    await agent.take()
    (message,) = (await soon(answer)).messages
    assert "coordinator" not in message.message
    assert coordinator.number("colotrace_jobs_overloaded_total") == 0
