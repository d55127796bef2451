"""Agents at a real broker, with replies by real streams."""

import asyncio
import re
import time

import pytest
from colotrace_proto import bus
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Counters,
    Job,
    RefusalReason,
    Refused,
)
from eventually import until
from fleet import Broker
from integration.coordinator.links.mqtt.at_broker import (
    DEN,
    Coordinator,
    Host,
    asked,
    finished,
    host,
    running,
)
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path


async def test_job_by_the_broker_and_replies_by_a_stream(
    broker: Broker, coordinator: Coordinator
) -> None:
    """The job has the address for replies, and the agent that accepts it opens a stream there."""
    async with host(broker, coordinator) as agent:
        await coordinator.until(("a1", "up"))
        ticket = coordinator.begin()
        topic, job = await agent.next()
        assert topic == agent.process.jobs
        assert isinstance(job, Job)
        assert job.reply_to == f"127.0.0.1:{coordinator.port}"
        assert 23_000 < job.remaining_ms <= 23_200
        async with agent.stream() as stream:
            await stream.attach()
            await stream.say(Accepted(job.job_id), path(job.job_id))
            assert (await finished(ticket)).fault is None
            assert await stream.expect(Ack) == Ack(job.job_id, 1)
        await coordinator.until(("a1", "up"))
    assert coordinator.number("colotrace_agent_losses_total", colo="den01") == 0


async def test_either_of_two_agents_may_take_the_job(
    broker: Broker, coordinator: Coordinator
) -> None:
    """The first offer uses the colo's topic; only a second offer uses an agent's topic."""
    async with host(broker, coordinator, "a1") as one, host(broker, coordinator, "a2") as two:
        await coordinator.until(("a1", "up"), ("a2", "up"))
        async with two.stream() as stream:
            await stream.attach()
            for number in range(6):  # until the broker has chosen the second
                ticket = coordinator.begin(f"192.0.2.{number}")
                hears = {asyncio.create_task(each.next()): each for each in (one, two)}
                done, waiting = await asyncio.wait(hears, return_when="FIRST_COMPLETED")
                for task in waiting:
                    task.cancel()
                (task,) = done
                topic, job = task.result()
                assert isinstance(job, Job)
                assert topic == bus.jobs(DEN)
                if hears[task] is two:
                    break
                ticket.leave()
                assert await one.next() == (bus.cancels(DEN), Cancel(job.job_id))
                assert await two.next() == (bus.cancels(DEN), Cancel(job.job_id))
            else:
                pytest.fail("the broker gives all to the first")
            await stream.say(Accepted(job.job_id), path(job.job_id))
            assert (await finished(ticket)).fault is None


async def test_second_offer_if_no_agent_accepts(broker: Broker, coordinator: Coordinator) -> None:
    """A fresh trace on the topic of one agent; the earlier job is cancelled."""
    async with host(broker, coordinator, "a1") as one, host(broker, coordinator, "a2") as two:
        await coordinator.until(("a1", "up"), ("a2", "up"))
        ticket = coordinator.begin()
        began = time.monotonic()
        heard = [asyncio.create_task(until_asked_itself(each)) for each in (one, two)]
        done, waiting = await asyncio.wait(heard, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        assert time.monotonic() - began > 0.4
        agent, before = done.pop().result()
        job = before.pop()
        assert isinstance(job, Job)
        assert job.job_id not in {each.job_id for each in before}
        async with agent.stream() as stream:
            await stream.attach()
            await stream.say(Accepted(job.job_id), path(job.job_id))
            ended = await finished(ticket)
        assert ended.fault is None
        (moved,) = ended.moved
        # A busy machine takes a moment more.
        assert re.fullmatch(
            r"none of den01's agents took the job within [01]\.\d s of its being published", moved
        )


async def until_asked_itself(agent: Host) -> tuple[Host, list[Job | Cancel]]:
    """All messages up to a job on its own topic."""
    heard = []
    while True:
        topic, message = await agent.next()
        heard.append(message)
        if topic == agent.process.jobs:
            return agent, heard


async def test_presence(broker: Broker, coordinator: Coordinator) -> None:
    """Up, draining, up again, deleted by the agent; its packets are counted."""
    async with host(broker, coordinator) as agent:
        await coordinator.until(("a1", "up"))
        await agent.say(draining=True, counters=Counters(sent=7))
        await coordinator.until(("a1", "draining"))
        await agent.say(counters=Counters(sent=5))
        await coordinator.until(("a1", "up"))
        await agent.publish(b"")
        await coordinator.until()
    sent = coordinator.number("colotrace_agent_packets_total", colo="den01", kind="sent")
    assert sent == 7


async def test_invalid_messages(broker: Broker, coordinator: Coordinator) -> None:
    """They are counted, and delete no presence."""
    async with host(broker, coordinator) as agent:
        await coordinator.until(("a1", "up"))
        for payload in (b"\xff", bytes(17_000), bytes(100_000), b"\x08\x01"):
            await agent.publish(payload)
        await agent.client.publish("colotrace/v1/agents/x/y/z", b"?", qos=1, retain=True)
        # A broker does not deliver messages beyond the client's maximum.
        await until(lambda: coordinator.number("colotrace_broker_invalid_messages_total") >= 3)
        await agent.say(draining=True)
        await coordinator.until(("a1", "draining"))


async def test_new_coordinator_knows_the_agents(broker: Broker, coordinator: Coordinator) -> None:
    """By what the broker keeps."""
    async with host(broker, coordinator, "a1"), host(broker, coordinator, "a2"):
        await coordinator.until(("a1", "up"), ("a2", "up"))
        async with running(broker) as other:
            await until(lambda: len(other.states()) == 2)


async def test_process_that_started_last_gets_the_id(
    broker: Broker, coordinator: Coordinator
) -> None:
    """The other's stream ends, and a new stream of it cannot replace the later one."""
    async with host(broker, coordinator) as early:
        await coordinator.until(("a1", "up"))
        async with early.stream() as stream:
            await stream.attach()
            async with host(broker, coordinator) as late:
                await late.say(started_ms=2)
                status, words = await stream.ended()
                assert status == "ALREADY_EXISTS"
                assert "another process" in words
                async with early.stream() as again:
                    await again.say(early.hello)
                    assert (await again.ended())[0] == "ALREADY_EXISTS"
                ticket = coordinator.begin()
                job = await late.job()
                ticket.leave()
                assert await late.next() == (bus.cancels(DEN), Cancel(job.job_id))
                await late.publish(b"")
                await coordinator.until(("a1", "up"))  # the earlier process gets the id back
                ticket = coordinator.begin("192.0.2.7")
                while not isinstance((await early.next())[1], Job):
                    pass


async def test_agent_of_another_colo_with_the_same_ids(
    broker: Broker, coordinator: Coordinator
) -> None:
    """With the same agent id and boot id, it does not get the jobs and does not replace the
    agent."""
    async with host(broker, coordinator) as agent:
        await coordinator.until(("a1", "up"))
        async with agent.stream() as stream:
            await stream.attach()
            thief = Host(
                agent.client, hello("a1", colo="sin01", boot=agent.hello.boot_id), coordinator
            )
            await thief.say()
            await thief.publish(b"")
            await thief.say()
            ticket = coordinator.begin()
            topic, job = await agent.next()
            assert topic == agent.process.jobs
            assert isinstance(job, Job)
            await stream.say(Accepted(job.job_id), path(job.job_id))
            assert (await finished(ticket)).fault is None
            assert coordinator.states() == [("a1", "up")]


async def test_late_acceptance_is_cancelled(broker: Broker, coordinator: Coordinator) -> None:
    """The late agent gets a cancel, and the current agent continues."""
    async with host(broker, coordinator, "a1") as one, host(broker, coordinator, "a2") as two:
        await coordinator.until(("a1", "up"), ("a2", "up"))
        ticket = coordinator.begin()
        hears = [asyncio.create_task(until_asked_itself(each)) for each in (one, two)]
        done, _ = await asyncio.wait(hears, return_when=asyncio.FIRST_COMPLETED)
        agent, heard = done.pop().result()
        late = one if agent is two else two
        *_, job = heard
        (early,) = {each.job_id for each in heard if isinstance(each, Cancel)}
        async with agent.stream() as stream, late.stream() as other:
            await stream.attach()
            await other.attach()
            await other.say(Accepted(early))
            assert await other.expect(Cancel) == Cancel(early)
            await other.say(Accepted(job.job_id))  # nor is another agent's job
            assert await other.expect(Cancel) == Cancel(job.job_id)
            await stream.say(Accepted(job.job_id), path(job.job_id))
            assert (await finished(ticket)).fault is None
        for task in hears:
            task.cancel()


async def test_refused_on_a_stream(broker: Broker, coordinator: Coordinator) -> None:
    """The only agent refuses by policy: Code 3 at once."""
    async with asked(broker, coordinator) as (agent, ticket, job):
        async with agent.stream() as stream:
            await stream.attach()
            await stream.say(Refused(job.job_id, RefusalReason.POLICY))
            fault = (await finished(ticket)).fault
        assert fault is not None
        assert fault.code == 3


async def test_agent_without_presence_gets_no_jobs(coordinator: Coordinator) -> None:
    """For example an agent that attaches directly."""
    async with ScriptedAgent(coordinator.port, hello("a1")) as stream:
        await stream.attach()
        await coordinator.until(("a1", "draining"))
        fault = (await finished(coordinator.begin())).fault
        assert fault is not None
        assert fault.code == 1
    await coordinator.until()
