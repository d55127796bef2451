"""Agents that are renamed while they trace. A link is played; see `StreamEvents`."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.link import Admitted, Closing
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Failure,
    Frame,
    Job,
    JobId,
    Outcome,
)
from eventually import until
from integration.coordinator.service.traced import DEN, Coordinator, soon
from unit.coordinator.scripted_agent import hello

BOOT = bytes(16)
BEFORE = hello("a1", boot=BOOT)


class Link:
    """Remembers what it is to send."""

    def __init__(self) -> None:
        self.jobs: list[tuple[AgentKey, Job]] = []
        self.acks: list[tuple[AgentKey, Ack]] = []

    def offer(self, agent: AgentKey, job: Job, *, shared: bool) -> bool:
        self.jobs.append((agent, job))
        return shared

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:
        raise AssertionError(f"{job_id} is cancelled at {agent}")

    def ack(self, agent: AgentKey, ack: Ack, *, at_once: bool = False) -> None:  # noqa: ARG002
        self.acks.append((agent, ack))

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:  # noqa: ARG002
        raise AssertionError(detail)


@pytest.mark.parametrize(
    "name", [("den01", "b1"), ("den02", "b1"), ("den02", "a1")], ids=["agent", "both", "colo"]
)
async def test_job_of_an_agent_goes_on_under_its_new_name(
    coordinator: Coordinator, name: tuple[str, str]
) -> None:
    """Its row is of the colo that was asked for. Nothing counts as a trouble or a loss."""
    colo, agent_id = name
    link, key = Link(), AgentKey.of(BEFORE)
    coordinator.events.attached(BEFORE, link)
    answer = coordinator.begin()
    await until(lambda: len(link.jobs) == 1)
    job = link.jobs[0][1].job_id
    coordinator.events.heard(key, Accepted(job))
    coordinator.events.heard(key, Frame(job, 1, sent=(1,)))

    coordinator.events.detached(key, "renamed", renamed=True)
    after = hello(agent_id, colo=colo, boot=BOOT, held_jobs=[job])
    renamed = AgentKey.of(after)
    coordinator.events.renamed(key, renamed)
    admitted = coordinator.events.attached(after, link)
    assert admitted == Admitted((Ack(job, 1),))
    coordinator.events.heard(renamed, Frame(job, 2, sent=(1,), outcome=Outcome(Failure.NONE)))
    whole = await soon(answer)
    [target] = whole.rows
    assert [(row.colo.name, row.error) for row in target.colos] == [("den01", "")]
    [status] = [each async for each in coordinator.service.agents()]
    assert (status.colo, status.id, status.last_trouble) == (colo, agent_id, None)
    assert coordinator.number("colotrace_agent_losses_total", colo=DEN) == 0


async def test_job_waits_for_an_agent_that_is_being_renamed() -> None:
    """It attaches again within a second."""
    async with AsyncExitStack() as stack:
        await waits_for_renamed(Coordinator(stack, gather_s=10))


async def waits_for_renamed(coordinator: Coordinator) -> None:
    link = Link()
    coordinator.events.attached(BEFORE, link)
    coordinator.events.detached(AgentKey.of(BEFORE), "renamed", renamed=True)
    answer = coordinator.begin()
    for _ in range(20):  # turns of the event loop, in which it would have failed
        await asyncio.sleep(0)
    assert not answer.done()
    after = hello("b1", boot=BOOT)
    coordinator.events.attached(after, link)
    await until(lambda: len(link.jobs) == 1)
    job = link.jobs[0][1].job_id
    coordinator.events.heard(AgentKey.of(after), Accepted(job))
    frame = Frame(job, 1, sent=(1,), outcome=Outcome(Failure.NONE))
    coordinator.events.heard(AgentKey.of(after), frame)
    [target] = (await soon(answer)).rows
    assert [row.error for row in target.colos] == [""]
