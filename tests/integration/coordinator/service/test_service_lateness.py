"""A coordinator that reads late blames no agent: rows, with agents whose messages wait unread."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.link import Admitted, AgentMessage, Closing
from colotrace_proto.deadlines import ACCEPT_S, SILENCE_S
from colotrace_proto.messages import Accepted, Ack, Counters, Heartbeat, Job, JobId
from eventually import until
from integration.coordinator.service.traced import Coordinator, only, soon
from unit.coordinator.scripted_agent import hello, path

TURN_S = 0.005
"""How long the loop takes for each message."""


class Unread:
    """The link of one agent: what it is offered, and what it has sent that is read message by
    message, one in each turn of the loop."""

    def __init__(self, coordinator: Coordinator, name: str) -> None:
        self.jobs: list[Job] = []
        self.cancelled: list[JobId] = []
        self._events = coordinator.events
        self._hello = hello(name)
        self._key = AgentKey.of(self._hello)

    def attach(self) -> None:
        assert isinstance(self._events.attached(self._hello, self), Admitted)

    async def job(self) -> Job:
        await until(lambda: bool(self.jobs))
        return self.jobs[0]

    async def read(self, messages: Sequence[AgentMessage]) -> None:
        for message in messages:
            self._events.heard(self._key, message)
            time.sleep(TURN_S)  # noqa: ASYNC251 - the loop is slow
            await asyncio.sleep(0)

    # `AgentLink`

    def offer(self, agent: AgentKey, job: Job, *, shared: bool) -> bool:  # noqa: ARG002
        self.jobs.append(job)
        return False

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:  # noqa: ARG002
        self.cancelled.append(job_id)

    def ack(self, agent: AgentKey, ack: Ack, *, at_once: bool = False) -> None:
        pass

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:
        pass


@pytest.fixture
def agents(coordinator: Coordinator) -> list[Unread]:
    """Two of one colo: a job whose agent is blamed moves to the other one."""
    agents = [Unread(coordinator, name) for name in ("a1", "a2")]
    for agent in agents:
        agent.attach()
    return agents


def _backlog(seconds: float) -> list[AgentMessage]:
    """Messages that take so long to read."""
    return [Heartbeat(number, Counters()) for number in range(int(seconds / TURN_S))]


async def test_acceptance_behind_unread_messages_counts(
    coordinator: Coordinator, agents: list[Unread]
) -> None:
    """It was sent in time, and is read long after the limit. The job does not move."""
    answer = coordinator.begin()
    job = await agents[0].job()
    await agents[0].read([*_backlog(2 * ACCEPT_S), Accepted(job.job_id), path(job.job_id)])
    answered = await soon(answer)
    assert only(answered).error == ""
    assert answered.messages == []
    assert agents[1].jobs == agents[0].cancelled == []
    assert coordinator.number("colotrace_jobs_moved_total") == 0


async def test_frames_behind_messages_of_other_agents_count(
    coordinator: Coordinator, agents: list[Unread]
) -> None:
    """The loop reads another agent's backlog for longer than an agent may be silent."""
    answer = coordinator.begin()
    job = await agents[0].job()
    await agents[0].read([Accepted(job.job_id)])
    await asyncio.gather(
        agents[1].read(_backlog(1.2 * SILENCE_S)),
        agents[0].read([*_backlog(0.55 * SILENCE_S), path(job.job_id)]),
    )
    answered = await soon(answer)
    assert only(answered).error == ""
    assert answered.messages == []
    assert coordinator.number("colotrace_jobs_moved_total") == 0


async def test_loop_blocked_for_longer_than_the_limits_blames_no_agent(
    coordinator: Coordinator,
) -> None:
    """Real streams: the answer waits in the socket while one callback blocks the loop."""
    first, second = await coordinator.agent("a1"), await coordinator.agent("a2")
    answer = coordinator.begin()
    job = await first.take()
    await first.say(path(job.job_id))
    time.sleep(1.1 * SILENCE_S)  # noqa: ASYNC251 - it blocks the loop
    answered = await soon(answer)
    assert only(answered).error == ""
    assert answered.messages == []
    await second.drop()


async def test_agent_that_answers_nothing_is_blamed_though_it_sends_much(
    coordinator: Coordinator, agents: list[Unread]
) -> None:
    """Once all it has sent is read, the offer moves to the next agent."""
    answer = coordinator.begin()
    await agents[0].job()
    reading = asyncio.create_task(agents[0].read(_backlog(2 * ACCEPT_S)))
    job = await agents[1].job()
    assert reading.done()
    await agents[1].read([Accepted(job.job_id), path(job.job_id)])
    answered = await soon(answer)
    assert only(answered).error == ""
    assert coordinator.number("colotrace_jobs_moved_total") == 1
