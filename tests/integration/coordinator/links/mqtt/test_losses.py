"""Agents and brokers that are lost and return."""

import asyncio
import time
from pathlib import Path

import pytest
from colotrace_coordinator.errors import BrokerUnreachableError
from colotrace_proto.bus import broker_of
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Job,
)
from eventually import until
from fleet import Broker
from integration.coordinator.links.mqtt.at_broker import (
    DEN,
    Coordinator,
    asked,
    finished,
    host,
    reachable,
    take_up,
)
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path


async def test_agent_that_left_the_broker_finishes_its_jobs(
    broker: Broker, coordinator: Coordinator
) -> None:
    """It gets no new job, and is lost when its stream ends."""
    async with asked(broker, coordinator) as (agent, ticket, job):
        async with agent.stream() as stream:
            await take_up(stream, job)
            await agent.publish(b"")
            await coordinator.until(("a1", "draining"))
            none = await finished(coordinator.begin("192.0.2.9"))
            assert none.fault is not None
            assert none.fault.code == 1
            await stream.say(path(job.job_id, 2))
            assert (await finished(ticket)).fault is None
        await coordinator.until()


async def test_returning_agent_gets_the_offer_again(
    broker: Broker, coordinator: Coordinator
) -> None:
    """Messages from the time of its absence are lost, so the coordinator does not wait for an
    answer."""
    async with asked(broker, coordinator) as (agent, ticket, lost):
        await agent.publish(b"")
        await agent.say()
        again = await agent.job()
        assert again.job_id != lost.job_id
        async with agent.stream() as stream:
            await stream.attach()
            await stream.say(Accepted(lost.job_id))  # it had been delivered after all
            assert await stream.expect(Cancel) == Cancel(lost.job_id)
            await stream.say(Accepted(again.job_id), path(again.job_id))
            assert (await finished(ticket)).fault is None


async def test_running_job_survives_loss_of_stream_and_presence(
    broker: Broker, coordinator: Coordinator
) -> None:
    """If presence returns first, the job is not dropped."""
    async with asked(broker, coordinator) as (agent, ticket, job):
        async with agent.stream() as stream:
            await take_up(stream, job)
        await agent.publish(b"")
        await coordinator.until()
        await agent.say()
        await coordinator.until(("a1", "up"))
        held = hello("a1", boot=agent.hello.boot_id, held_jobs=[job.job_id])
        async with ScriptedAgent(coordinator.port, held) as stream:
            assert (await stream.attach()).wanted_jobs == (Ack(job.job_id, 1),)
            await stream.say(path(job.job_id, 2))
            done = await finished(ticket)
        assert (done.fault, done.moved) == (None, ())


async def test_lost_stream_is_resumed(broker: Broker, coordinator: Coordinator) -> None:
    """The agent stays present, and resumes the job."""
    async with asked(broker, coordinator) as (agent, ticket, job):
        async with agent.stream() as stream:
            await take_up(stream, job)
        await until(lambda: coordinator.has_lost_the_stream_of(job))
        assert coordinator.states() == [("a1", "up")]
        held = hello("a1", boot=agent.hello.boot_id, held_jobs=[job.job_id])
        async with ScriptedAgent(coordinator.port, held) as stream:
            assert (await stream.attach()).wanted_jobs == (Ack(job.job_id, 1),)
            await stream.say(path(job.job_id, 2))
            assert (await finished(ticket)).fault is None


async def test_stream_that_does_not_return_moves_the_job(
    broker: Broker, coordinator: Coordinator
) -> None:
    """After two seconds the job moves to another agent, or fails."""
    async with asked(broker, coordinator) as (agent, ticket, job):
        async with agent.stream() as stream:
            await take_up(stream, job)
        fault = (await finished(ticket)).fault
        assert fault is not None
        assert fault.words == "agent a1 was lost while tracing"
        assert coordinator.states() == [("a1", "up")]


async def test_agent_that_restarts_during_a_trace(broker: Broker, coordinator: Coordinator) -> None:
    """The new process gets the job at once."""
    async with asked(broker, coordinator) as (agent, ticket, job), agent.stream() as stream:
        await take_up(stream, job)
        async with host(broker, coordinator) as again:
            await again.say(started_ms=2)
            fresh = await again.job()
            async with again.stream() as other:
                await other.attach()
                await other.say(Accepted(fresh.job_id), path(fresh.job_id))
                done = await finished(ticket)
    assert (done.fault, done.moved) == (None, ("agent a1 restarted while tracing",))


async def test_acceptance_lost_with_its_stream(broker: Broker, coordinator: Coordinator) -> None:
    """For a job on the colo's topic, the agent that reconnects with the job has it."""
    async with host(broker, coordinator, "a1"), host(broker, coordinator, "a2") as two:
        await coordinator.until(("a1", "up"), ("a2", "up"))
        ticket = coordinator.begin()
        (machine,) = coordinator.dispatcher.of_colo(DEN)
        await until(lambda: machine.live is not None)
        live = machine.live
        assert live is not None
        assert live.shared
        assert live.agent.agent_id == "a1"
        held = hello("a2", boot=two.hello.boot_id, held_jobs=[live.job_id])
        async with ScriptedAgent(coordinator.port, held) as stream:
            assert (await stream.attach()).wanted_jobs == (Ack(live.job_id, 0),)
            await stream.say(path(live.job_id))
            assert (await finished(ticket)).moved == ()


async def test_broker_stops_and_returns(broker: Broker, coordinator: Coordinator) -> None:
    """Running jobs continue, new jobs fail with the reason, and everything recovers."""
    async with asked(broker, coordinator) as (agent, ticket, job), agent.stream() as stream:
        await stream.attach()
        await stream.say(Accepted(job.job_id))
        broker.kill()
        await until(lambda: not reachable(coordinator))
        assert coordinator.number("colotrace_broker_up") == 0
        with pytest.raises(BrokerUnreachableError, match="is out of reach"):
            coordinator.bus.check()
        fault = (await finished(coordinator.begin("192.0.2.2"))).fault
        assert fault is not None
        assert fault.code == 1
        assert f"the broker {broker.url} is out of reach: " in fault.words
        await stream.say(path(job.job_id))
        assert (await finished(ticket)).fault is None
    broker.start()
    await until(lambda: reachable(coordinator))
    assert coordinator.number("colotrace_broker_up") == 1
    async with host(broker, coordinator, boot=agent.hello.boot_id) as back:
        await back.say(draining=True)
        await coordinator.until(("a1", "draining"))
        await back.say()
        await coordinator.until(("a1", "up"))
        ticket = coordinator.begin("192.0.2.3")
        job = await back.job()
        async with back.stream() as stream:
            await stream.attach()
            await stream.say(Accepted(job.job_id), path(job.job_id))
            assert (await finished(ticket)).fault is None
    assert coordinator.number("colotrace_agent_losses_total", colo="den01") == 0


def connected(port: int) -> bool:
    """Whether a TCP connection to that port is established (proc(5), net/tcp)."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return any(line[2].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


@pytest.mark.parametrize("when", ["there", "not yet", "for long"])
async def test_link_stops_soon_at_a_frozen_broker(broker: Broker, when: str) -> None:
    """The link stops soon, even if its send queue is full."""
    if when == "not yet":
        broker.freeze()
    coordinator = Coordinator(broker, expire_every_s=0.1)
    task = asyncio.create_task(coordinator.bus.run(reply_to="127.0.0.1:1"), name="link")
    if when == "not yet":
        await until(lambda: connected(broker_of(broker.url).port))
    else:
        await until(lambda: reachable(coordinator))
    if when == "for long":
        broker.freeze()
        job = Job(path("x").job_id, "t", Options().packet_type, 1, 1, 1, 0, 0, 20_000)
        for _ in range(400):
            coordinator.outgoing.put("x" * 60_000, job)
        await until(lambda: 0 < len(coordinator.outgoing) < 400)
    began = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert time.monotonic() - began < 8  # the library would wait for 10 s
    broker.thaw()


async def test_broker_that_accepts_no_data_counts_as_lost(
    broker: Broker, coordinator: Coordinator
) -> None:
    """As soon as a message cannot be written, before the keepalive timeout."""
    broker.freeze()
    job = Job(path("x").job_id, "t", Options().packet_type, 1, 1, 1, 0, 0, 20_000)
    for _ in range(400):
        coordinator.outgoing.put("x" * 60_000, job)
    await until(lambda: not reachable(coordinator), within_s=7)
    broker.thaw()
    await until(lambda: reachable(coordinator), within_s=6)
