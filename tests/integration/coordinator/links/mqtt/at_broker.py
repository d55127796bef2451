"""A coordinator and agents' processes at a broker."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from aiomqtt import Client
from colotrace_coordinator.errors import BrokerUnreachableError
from colotrace_coordinator.fleet.fleet import Fleet
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.jobs.dispatcher import Dispatcher
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.jobs.reports import AgentReports
from colotrace_coordinator.jobs.running import JobKey, Ticket
from colotrace_coordinator.jobs.task import JobResult, Task
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.links.mqtt.link import EXPIRE_EVERY_S, MqttLink
from colotrace_coordinator.links.mqtt.outgoing import Outgoing
from colotrace_coordinator.metrics import BrokerMetrics, Metrics, RelayMetrics
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.peers.relay.relay import Relay
from colotrace_coordinator.turns import Turns
from colotrace_proto import bus
from colotrace_proto.bus import Process, broker_of
from colotrace_proto.measured import Options
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
)
from colotrace_proto.mqtt import connection
from colotrace_proto.published import decode_published, encode_presence
from colotrace_proto.running import RunningClock
from eventually import until
from fleet import Broker
from prometheus_client import CollectorRegistry
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path
from unit.coordinator.volatile import VolatileMemory

DEN = ColoName("den01")


class Coordinator:
    """A coordinator whose agents announce themselves at the broker."""

    def __init__(self, broker: Broker, *, expire_every_s: float = EXPIRE_EVERY_S) -> None:
        self.peers = Peers()
        self.numbers = CollectorRegistry()
        self.requests = itertools.count()
        metrics, log, clock = Metrics(self.numbers), structlog.get_logger(), RunningClock()
        self.registry = Registry(VolatileMemory())
        turns = Turns()
        self.dispatcher = Dispatcher(
            self.registry,
            metrics=metrics,
            log=log,
            clock=clock,
            turns=turns,
            gather_s=0,
            peers=self.peers,
        )
        events = AgentReports(
            Fleet(self.registry, metrics=metrics, log=log),
            self.dispatcher,
            seen=lambda *_: None,
            metrics=metrics,
            log=log,
            clock=clock,
        )
        self.relay = Relay(self.peers, metrics=RelayMetrics(self.numbers), clock=clock)
        self.outgoing = Outgoing(clock=asyncio.get_running_loop().time)
        self.bus = MqttLink(
            events,
            broker_of(broker.url),
            tls=None,
            metrics=BrokerMetrics(self.numbers),
            log=log,
            clock=clock,
            peers=self.peers,
            relay=self.relay,
            expire_every_s=expire_every_s,
            outgoing=self.outgoing,
        )
        self.streams = DirectLink(
            self.bus, host="127.0.0.1", port=0, tls=None, log=log, clock=clock, turns=turns
        )
        self.bus.answered_by(self.streams)
        self.port = 0

    def has_lost_the_stream_of(self, job: Job) -> bool:
        """Whether the stream of the agent that has the job is down."""
        machine = self.dispatcher.attempts.get(job.job_id)
        live = machine.live if machine is not None else None
        return live is not None and live.down_since is not None

    def begin(self, target: str = "192.0.2.1", *, account: str = "acc") -> Ticket:
        return self.dispatcher.begin(
            JobKey(account, Task(DEN, target, Options())),
            Origin(account, "token", next(self.requests)),
        )

    def states(self) -> list[tuple[str, str]]:
        """The attached agents and their states."""
        return [
            (agent.key.agent_id, "draining" if agent.draining else "up")
            for agent in self.registry.agents(DEN)
        ]

    async def until(self, *states: tuple[str, str], within_s: float = 20.0) -> None:
        await until(lambda: self.states() == list(states), within_s=within_s)

    def number(self, name: str, **labels: str) -> float:
        return self.numbers.get_sample_value(name, labels) or 0.0


async def finished(ticket: Ticket, *, within_s: float = 20.0) -> JobResult:
    async with asyncio.timeout(within_s):
        return await asyncio.shield(ticket.done)


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
        async with asyncio.timeout(20):
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
