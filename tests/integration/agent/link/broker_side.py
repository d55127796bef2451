"""The broker as its other clients see it, and coordinators that ask by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiomqtt import Client
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link.mqtt import MqttLink
from colotrace_proto import bus
from colotrace_proto.bus import Process, broker_of
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Frame,
    FromAgent,
    Hello,
    Job,
    JobId,
    Presence,
    Welcome,
)
from colotrace_proto.mqtt import connection
from colotrace_proto.published import decode_presence, encode_published
from colotrace_proto.running import RunningClock
from eventually import until
from fleet import Broker
from unit.agent.fakes import job
from unit.agent.link.scripted_coordinator import COORDINATOR, Call, coordinator
from unit.agent.link.test_session import IDENTITY

PROCESS = Process(IDENTITY.colo, IDENTITY.agent_id, IDENTITY.boot_id)
_WITHIN_S = 10.0
"""Sooner than a presence is renewed by itself."""


class Watch:
    """Watches the retained presences of the agent's id, and publishes messages."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.kept: dict[Process, Presence] = {}
        self.wills = 0

    async def read(self) -> None:
        async for message in self.client.messages:
            process = bus.process_of(message.topic.value)
            assert process is not None
            assert isinstance(message.payload, bytes)
            with suppress(ProtocolError):
                if message.payload:
                    self.kept[process] = decode_presence(message.payload)
                else:
                    self.wills += 1
                    self.kept.pop(process, None)

    async def publish(self, message: Job | Cancel, topic: str = PROCESS.jobs) -> None:
        await self.client.publish(topic, encode_published(message), qos=1)

    async def there(self, *, draining: bool = False) -> None:
        """Wait until the agent is present."""
        await until(
            lambda: PROCESS in self.kept and self.kept[PROCESS].draining == draining,
            within_s=_WITHIN_S,
        )

    async def gone(self) -> None:
        """Wait until the agent is absent."""
        await until(lambda: PROCESS not in self.kept, within_s=_WITHIN_S)


@asynccontextmanager
async def watching(broker: Broker) -> AsyncIterator[Watch]:
    async with connection(
        broker_of(broker.url), tls=None, identifier="watch", clock=RunningClock()
    ) as client:
        await client.subscribe(bus.ALL_AGENTS, qos=0)
        watch = Watch(client)
        task = asyncio.create_task(watch.read())
        try:
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def running(broker: Broker, jobs: Jobs) -> AsyncIterator[MqttLink]:
    """A running agent, which must still run at the end."""
    link = MqttLink(
        broker_of(broker.url), IDENTITY, jobs, broker_tls=None, tls=None, clock=RunningClock()
    )
    task = asyncio.create_task(link.run(), name="link")
    try:
        yield link
        assert not task.done(), task.result()
    finally:
        jobs.cancel_all()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Asker:
    """A coordinator that accepts all agents, acknowledges frames, and records messages."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[FromAgent] = asyncio.Queue()
        self.calls: list[Call] = []
        self.welcoming = asyncio.Event()
        self.welcoming.set()

    async def script(self, call: Call) -> None:
        hello = await call.hear()
        assert hello is not None
        self.heard.put_nowait(hello)
        self.calls.append(call)
        await self.welcoming.wait()
        held = hello.held_jobs if isinstance(hello, Hello) else ()
        wanted = tuple(Ack(each, 0) for each in held)
        # Of version 1, since it reads messages one by one.
        await call.say(Welcome(COORDINATOR, 5_000, wanted, protocol_version=1))
        while (message := await call.hear()) is not None:
            self.heard.put_nowait(message)
            if isinstance(message, Frame):
                await call.say(Ack(message.job_id, message.sequence))

    async def next(self) -> FromAgent:
        """The next message that is not a heartbeat."""
        async with asyncio.timeout(20):
            return await self.heard.get()


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Asker, str]]:
    asker = Asker()
    async with coordinator(asker.script) as where:
        yield asker, where


async def heard_so_far(watch: Watch) -> None:
    """Until the agent has handled what was published before: it handles messages in order."""
    async with asking() as (asker, where):
        await watch.publish(job("marker", "1.1.1.99", reply_to=where))
        while await asker.next() != Accepted(JobId("marker")):
            pass
        await watch.publish(Cancel(JobId("marker")), bus.cancels(IDENTITY.colo))


def connections(broker: Broker) -> int:
    """How often clients have connected so far."""
    return broker.log.read_text().count("New client connected")


class Said:
    """What the agent has logged."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._so_far = capsys, ""

    def __call__(self) -> str:
        self._so_far += self._capsys.readouterr().out
        return self._so_far

    def attached_to(self, coordinator: str) -> bool:
        """Whether there has been a stream to that coordinator."""
        lines = [line for line in self().splitlines() if coordinator in line]
        return any("attached" in line and "not attached" not in line for line in lines)
