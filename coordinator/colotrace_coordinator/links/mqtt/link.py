"""Presence and jobs by an MQTT 5 broker; what comes of jobs, by gRPC.

Agents are known by what they say at the broker. Jobs are published there, and who takes one opens a
stream to us, if it has none: that stream, of the direct link, brings its acceptance and its frames,
and takes acknowledgements. This link stands between the two: it takes the fan-out's commands, and
tells the fan-out what both say.
"""

import asyncio
import math
import secrets
import ssl
from collections import deque
from dataclasses import dataclass, replace

from colotrace_proto import bus
from colotrace_proto.bus import Broker, Process
from colotrace_proto.codec import ProtocolError, encode_for_bus
from colotrace_proto.messages import Ack, Cancel, Hello, Job, JobId
from colotrace_proto.mqtt import Client, MqttError, connection, expiring, refusal
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.fanout.agents import AgentKey
from colotrace_coordinator.links.base import (
    Admitted,
    AgentSays,
    Closing,
    Fleet,
    Link,
    Rejected,
)
from colotrace_coordinator.metrics import Metrics

from .presences import Came, Event, Left, Presences, Renewed

_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 1.0
_LOOK_S = 1.0
_MOST_WAITING = 10_000
_CANCEL_EXPIRY_S = 30


@dataclass(frozen=True, slots=True)
class _There:
    process: Process
    draining: bool


class MqttLink:
    """The link of agents that are met at a broker. To the streams it is whom they report to."""

    loses_offers = False

    def __init__(
        self,
        fleet: Fleet,
        broker: Broker,
        *,
        tls: ssl.SSLContext | None,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self.connected = False
        self._fleet = fleet
        self._broker = broker
        self._tls = tls
        self._streams: Link
        self._metrics = metrics
        self._log = log.bind(broker=str(broker))
        self._loop = asyncio.get_running_loop()
        self._reply_to = ""
        self._presences = Presences()
        # Who is there by the broker's word, and whose stream is up.
        self._there: dict[AgentKey, _There] = {}
        self._up: set[AgentKey] = set()
        self._waiting: deque[tuple[str, Job | Cancel, float]] = deque()
        self._wake = asyncio.Event()
        self._said = ""
        fleet.cut_off(f"the broker {broker} has not answered yet")

    def answered_by(self, streams: Link) -> None:
        """The link that agents open streams to, and that reports to this one. To be called before
        anything happens."""
        self._streams = streams

    async def run(self, *, reply_to: str) -> None:
        """Stays at the broker until cancelled; `reply_to` is HOST:PORT where agents reach the
        streams."""
        self._reply_to = reply_to
        identifier = f"colotrace-coordinator-{secrets.token_hex(8)}"
        pause_s = _PAUSE_S
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="presences")
            while True:
                try:
                    async with connection(
                        self._broker, tls=self._tls, identifier=identifier
                    ) as client:
                        pause_s = _PAUSE_S
                        await self._serve(client)
                except MqttError as error:
                    self._cut_off(refusal(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _serve(self, client: Client) -> None:
        # At most once: of what waits to be acknowledged, brokers keep only so much.
        await client.subscribe(bus.ALL_AGENTS, qos=0)
        self._presences.back(self._loop.time())
        self._waiting.clear()
        self.connected, self._said = True, ""
        self._metrics.broker_up.set(1)
        self._fleet.cut_off("")
        self._log.info("broker_reached")
        writing = asyncio.create_task(self._publish_all(client), name="broker: out")
        try:
            async for message in client.messages:
                self._message(message.topic.value, message.payload)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _cut_off(self, why: str) -> None:
        if why != self._said:
            self._said = why
            self._log.warning("broker_lost" if self.connected else "broker_not_reached", detail=why)
        self.connected = False
        self._metrics.broker_up.set(0)
        self._fleet.cut_off(f"the broker {self._broker} is out of reach: {why}")

    # Commands

    def offer(self, agent: AgentKey, job: Job, *, anyone: bool) -> bool:
        """See `Link`."""
        there = self._there.get(agent)
        if there is not None:
            topic = bus.jobs(there.process.colo) if anyone else there.process.jobs
            self._publish(topic, replace(job, reply_to=self._reply_to))
        return anyone

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:
        """See `Link`. All of the colo's agents hear it: any of them may have it, or be about to."""
        self._streams.cancel(agent, job_id)
        there = self._there.get(agent)
        if there is not None:
            self._publish(bus.cancels(there.process.colo), Cancel(job_id))

    def ack(self, agent: AgentKey, ack: Ack, *, final: bool) -> None:
        """See `Link`."""
        self._streams.ack(agent, ack, final=final)

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:
        """See `Link`."""
        self._streams.close(agent, closing, detail)

    def _publish(self, topic: str, message: Job | Cancel) -> None:
        if self.connected and len(self._waiting) < _MOST_WAITING:
            self._waiting.append((topic, message, self._loop.time()))
            self._wake.set()

    async def _publish_all(self, client: Client) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                topic, message, at = self._waiting.popleft()
                expiry_s = _CANCEL_EXPIRY_S
                if isinstance(message, Job):
                    left_ms = message.remaining_ms - round((self._loop.time() - at) * 1e3)
                    if left_ms <= 0:
                        continue
                    message = replace(message, remaining_ms=left_ms)
                    expiry_s = math.ceil(left_ms / 1e3)
                payload = encode_for_bus(message)
                # Once at most: who accepts nothing within a moment is not asked again by a broker.
                await client.publish(topic, payload, qos=0, properties=expiring(expiry_s))

    # What the broker says

    def _message(self, topic: str, payload: object) -> None:
        said = bytes(payload) if isinstance(payload, bytes | bytearray) else b""
        try:
            events = self._presences.heard(topic, said, self._loop.time())
        except ProtocolError as error:
            self._metrics.broker_rubbish.inc()
            self._log.debug("broker_rubbish", topic=topic[:200], detail=str(error))
            return
        self._do(events)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if self.connected:  # while it is out of reach, nobody can renew what was said
                self._do(self._presences.expire(self._loop.time()))

    def _do(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Came():
                    self._came(event)
                case Renewed():
                    self._renewed(event)
                case Left():
                    self._left(event.agent)

    def _came(self, came: Came) -> None:
        hello = came.hello
        agent = AgentKey(hello.agent_id, hello.boot_id)
        if agent not in self._up and isinstance(self._fleet.attached(hello, self), Rejected):
            return
        process = Process(hello.colo, hello.agent_id, hello.boot_id)
        self._there[agent] = _There(process, came.draining)
        self._fleet.available(agent, now=not came.draining)

    def _renewed(self, renewed: Renewed) -> None:
        agent = renewed.agent
        there = self._there.get(agent)
        if there is not None:
            self._there[agent] = replace(there, draining=renewed.draining)
            self._fleet.heard(agent, renewed.heartbeat)
            self._fleet.available(agent, now=not renewed.draining)

    def _left(self, agent: AgentKey) -> None:
        if self._there.pop(agent, None) is None:
            return
        if agent in self._up:  # what it has, it may still finish
            self._fleet.available(agent, now=False)
        else:
            self._fleet.detached(agent)

    # What streams say

    def attached(self, hello: Hello, link: Link) -> Admitted | Rejected:  # noqa: ARG002
        """See `Attendance`: an agent that has a job of ours, or had, opens its stream."""
        verdict = self._fleet.attached(hello, self)
        if isinstance(verdict, Admitted):
            agent = AgentKey(hello.agent_id, hello.boot_id)
            self._up.add(agent)
            there = self._there.get(agent)
            self._fleet.available(agent, now=there is not None and not there.draining)
        return verdict

    def heard(self, agent: AgentKey, message: AgentSays) -> None:
        """See `Attendance`."""
        self._fleet.heard(agent, message)

    def detached(self, agent: AgentKey) -> None:
        """See `Attendance`: the stream has ended, but the agent may be there all the same."""
        self._up.discard(agent)
        if agent in self._there:
            self._fleet.interrupted(agent)
        else:
            self._fleet.detached(agent)
