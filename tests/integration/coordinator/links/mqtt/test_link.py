"""Agents at a real broker, with replies by real streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import structlog
from aiomqtt import Client
from colotrace_coordinator.errors import BrokerUnreachableError
from colotrace_coordinator.fleet.fleet import Fleet
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.jobs.dispatcher import Dispatcher
from colotrace_coordinator.jobs.reports import AgentReports
from colotrace_coordinator.jobs.running import JobKey, Ticket
from colotrace_coordinator.jobs.task import JobResult, Task
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.links.mqtt.link import EXPIRE_EVERY_S, MqttLink
from colotrace_coordinator.metrics import BrokerMetrics, Metrics
from colotrace_coordinator.model import Options
from colotrace_proto import bus
from colotrace_proto.bus import Process, broker_of
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    ColoName,
    Counters,
    Heartbeat,
    Hello,
    Job,
    Presence,
    RefusalReason,
    Refused,
)
from colotrace_proto.mqtt import connection
from colotrace_proto.published import decode_published, encode_presence
from colotrace_proto.running import RunningClock
from fleet import Broker
from prometheus_client import CollectorRegistry
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path
from unit.coordinator.volatile import VolatileMemory

DEN = ColoName("den01")


class Coordinator:
    """A coordinator whose agents announce themselves at the broker."""

    def __init__(self, broker: Broker, *, expire_every_s: float = EXPIRE_EVERY_S) -> None:
        self.numbers = CollectorRegistry()
        metrics, log, clock = Metrics(self.numbers), structlog.get_logger(), RunningClock()
        self.registry = Registry(VolatileMemory())
        self.dispatcher = Dispatcher(
            self.registry, metrics=metrics, log=log, clock=clock, gather_s=0
        )
        events = AgentReports(
            Fleet(self.registry, metrics=metrics, log=log),
            self.dispatcher,
            seen=lambda _: None,
            metrics=metrics,
            log=log,
            clock=clock,
        )
        self.bus = MqttLink(
            events,
            broker_of(broker.url),
            tls=None,
            metrics=BrokerMetrics(self.numbers),
            log=log,
            clock=clock,
            expire_every_s=expire_every_s,
        )
        self.streams = DirectLink(
            self.bus, host="127.0.0.1", port=0, tls=None, log=log, clock=clock
        )
        self.bus.answered_by(self.streams)
        self.port = 0

    def begin(self, target: str = "192.0.2.1") -> Ticket:
        return self.dispatcher.begin(JobKey("acc", Task(DEN, target, Options())))

    def states(self) -> list[tuple[str, str]]:
        """The attached agents and their states."""
        return [
            (agent.key.agent_id, "draining" if agent.draining else "up")
            for agent in self.registry.agents(DEN)
        ]

    async def until(self, *states: tuple[str, str], within_s: float = 5.0) -> None:
        await until(lambda: self.states() == list(states), within_s=within_s)

    def number(self, name: str, **labels: str) -> float:
        return self.numbers.get_sample_value(name, labels) or 0.0


async def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Poll until the condition holds; the test's timeout bounds it."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def finished(ticket: Ticket, *, within_s: float = 5.0) -> JobResult:
    async with asyncio.timeout(within_s):
        return await asyncio.shield(ticket.done)


@pytest.fixture
async def coordinator(broker: Broker) -> AsyncIterator[Coordinator]:
    async with running(broker) as coordinator:
        await until(lambda: reachable(coordinator))
        yield coordinator


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Coordinator]:
    coordinator = Coordinator(broker)
    coordinator.port = await coordinator.streams.start()
    address = f"127.0.0.1:{coordinator.port}"
    task = asyncio.create_task(coordinator.bus.run(reply_to=address), name="link")
    try:
        yield coordinator
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await coordinator.streams.stop()


def reachable(coordinator: Coordinator) -> bool:
    with suppress(BrokerUnreachableError):
        coordinator.bus.check()
        return True
    return False


class Host:
    """An agent's process at the broker: its presence, and its jobs."""

    def __init__(self, client: Client, who: Hello, coordinator: Coordinator) -> None:
        self.client = client
        self.hello = who
        self.process = Process(who.colo, who.agent_id, who.boot_id)
        self.coordinator = coordinator

    async def say(
        self, *, draining: bool = False, started_ms: int = 1, counters: Counters | None = None
    ) -> None:
        """Its presence."""
        heartbeat = Heartbeat(0, counters or Counters())
        presence = Presence(self.hello, started_ms, draining, heartbeat)
        await self.publish(encode_presence(presence))

    async def publish(self, payload: bytes) -> None:
        """Publish any payload on its presence topic."""
        await self.client.publish(self.process.presence, payload, qos=1, retain=True)

    async def listen(self) -> None:
        """Subscribe to its jobs."""
        for topic in (bus.shared_jobs(DEN), bus.cancels(DEN), self.process.jobs):
            await self.client.subscribe(topic, qos=0)

    async def next(self) -> tuple[str, Job | Cancel]:
        """The next message, and its topic."""
        async with asyncio.timeout(5):
            message = await anext(aiter(self.client.messages))
        assert isinstance(message.payload, bytes)
        decoded = decode_published(message.payload)
        assert isinstance(decoded, Job | Cancel)
        if isinstance(decoded, Job):
            # Whole seconds, rounded up, which the broker counts down.
            seconds = getattr(message.properties, "MessageExpiryInterval", None)
            assert seconds in (-(-decoded.remaining_ms // 1000), decoded.remaining_ms // 1000)
        return message.topic.value, decoded

    async def job(self) -> Job:
        _, message = await self.next()
        assert isinstance(message, Job)
        return message

    def stream(self) -> ScriptedAgent:
        """A stream to the job's coordinator."""
        return ScriptedAgent(self.coordinator.port, self.hello)


async def take_up(stream: ScriptedAgent, job: Job) -> None:
    """Attach, accept the job, and send its first frame."""
    await stream.attach()
    await stream.say(Accepted(job.job_id), path(job.job_id, failure=None))
    await stream.expect(Ack)


@asynccontextmanager
async def host(
    broker: Broker, coordinator: Coordinator, name: str = "a1", *, boot: bytes | None = None
) -> AsyncIterator[Host]:
    """A host that is present and subscribed."""
    who = hello(name, boot=boot)
    process = Process(who.colo, who.agent_id, who.boot_id)
    where = broker_of(broker.url)
    identifier = f"test-{name}-{who.boot_id.hex()[:6]}"
    async with connection(
        where, tls=None, identifier=identifier, clock=RunningClock(), will=process.presence
    ) as client:
        agent = Host(client, who, coordinator)
        await agent.listen()
        await agent.say()
        yield agent


@asynccontextmanager
async def asked(
    broker: Broker, coordinator: Coordinator
) -> AsyncIterator[tuple[Host, Ticket, Job]]:
    """A job was offered to the only agent, and not yet answered."""
    async with host(broker, coordinator) as agent:
        await coordinator.until(("a1", "up"))
        ticket = coordinator.begin()
        yield agent, ticket, await agent.job()


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
        assert 0.4 < time.monotonic() - began < 2
        agent, before = done.pop().result()
        job = before.pop()
        assert isinstance(job, Job)
        assert job.job_id not in {each.job_id for each in before}
        async with agent.stream() as stream:
            await stream.attach()
            await stream.say(Accepted(job.job_id), path(job.job_id))
            ended = await finished(ticket)
        assert ended.fault is None
        assert ended.moved == (
            "none of den01's agents took the job within 0.5 s of its being published",
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
    """Within a second."""
    async with host(broker, coordinator, "a1"), host(broker, coordinator, "a2"):
        await coordinator.until(("a1", "up"), ("a2", "up"))
        async with running(broker) as other:
            await until(lambda: len(other.states()) == 2, within_s=1)


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
        await asyncio.sleep(0.2)
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
        fault = (await finished(ticket, within_s=3)).fault
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
        live = machine.live
        assert live is not None
        assert live.shared
        assert live.agent.agent_id == "a1"
        held = hello("a2", boot=two.hello.boot_id, held_jobs=[live.job_id])
        async with ScriptedAgent(coordinator.port, held) as stream:
            assert (await stream.attach()).wanted_jobs == (Ack(live.job_id, 0),)
            await stream.say(path(live.job_id))
            assert (await finished(ticket)).moved == ()


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
            fault = (await finished(ticket, within_s=1)).fault
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


async def test_broker_stops_and_returns(broker: Broker, coordinator: Coordinator) -> None:
    """Running jobs continue, new jobs fail with the reason, and everything recovers."""
    async with asked(broker, coordinator) as (agent, ticket, job), agent.stream() as stream:
        await stream.attach()
        await stream.say(Accepted(job.job_id))
        broker.kill()
        await until(lambda: not reachable(coordinator), within_s=2)
        assert coordinator.number("colotrace_broker_up") == 0
        with pytest.raises(BrokerUnreachableError, match="is out of reach"):
            coordinator.bus.check()
        fault = (await finished(coordinator.begin("192.0.2.2"), within_s=1)).fault
        assert fault is not None
        assert fault.code == 1
        assert f"the broker {broker.url} is out of reach: " in fault.words
        await stream.say(path(job.job_id))
        assert (await finished(ticket)).fault is None
    broker.start()
    await until(lambda: reachable(coordinator), within_s=3)
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


@pytest.mark.parametrize("when", ["there", "not yet", "for long"])
async def test_link_stops_soon_at_a_frozen_broker(broker: Broker, when: str) -> None:
    """The link stops soon, even if its send queue is full."""
    if when == "not yet":
        broker.freeze()
    coordinator = Coordinator(broker, expire_every_s=0.1)
    task = asyncio.create_task(coordinator.bus.run(reply_to="127.0.0.1:1"), name="link")
    if when == "not yet":
        await asyncio.sleep(0.3)
    else:
        await until(lambda: reachable(coordinator))
    if when == "for long":
        broker.freeze()
        job = Job(path("x").job_id, "t", Options().packet_type, 1, 1, 1, 0, 0, 20_000)
        for _ in range(400):
            coordinator.bus._outgoing.put("x" * 60_000, job)
        await asyncio.sleep(0.5)
        assert len(coordinator.bus._outgoing)
    began = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert time.monotonic() - began < 3
    broker.thaw()


async def test_broker_that_accepts_no_data_counts_as_lost(
    broker: Broker, coordinator: Coordinator
) -> None:
    """As soon as a message cannot be written, before the keepalive timeout."""
    broker.freeze()
    job = Job(path("x").job_id, "t", Options().packet_type, 1, 1, 1, 0, 0, 20_000)
    for _ in range(400):
        coordinator.bus._outgoing.put("x" * 60_000, job)
    await until(lambda: not reachable(coordinator), within_s=5)
    broker.thaw()
    await until(lambda: reachable(coordinator), within_s=6)
