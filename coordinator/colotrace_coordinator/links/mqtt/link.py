"""Presence and offers through an MQTT 5 broker; acceptances and frames over gRPC streams.

Agents announce themselves at the broker, and jobs are published there. An agent that takes a job
opens a stream to this coordinator, if it has none. That stream belongs to the direct link; it
carries the acceptance, the frames and their acknowledgements. This link joins both: it takes the
commands for agents, and reports what the broker and the streams say of them. Coordinators exchange
their counts, and follow each other's measurements, on the same connection to the broker.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from aiomqtt import Client, Message, MqttError
from colotrace_proto import bus
from colotrace_proto.bus import Broker, Process
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Capabilities,
    ColoName,
    Hello,
    Job,
    JobId,
    Refused,
    Renamed,
)
from colotrace_proto.mqtt import connection, refusal, subscribe
from colotrace_proto.running import RunningClock
from colotrace_proto.tasks import first_of
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.authority.identity import IdentityId
from colotrace_coordinator.errors import BrokerUnreachableError, InvalidReportError
from colotrace_coordinator.fleet.agents import AgentKey, AgentName
from colotrace_coordinator.fleet.link import (
    Admitted,
    AgentLink,
    AgentMessage,
    Closing,
    FleetEvents,
    Rejected,
    Rejection,
)
from colotrace_coordinator.fleet.presences import Announced, Event, Gone, Presences
from colotrace_coordinator.metrics import BrokerMetrics
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.peers.relay.relay import Relay

from .outgoing import Outgoing
from .relayed import relay_measurements
from .reports import exchange_reports
from .strangers import Strangers

_PAUSE_S, _MAX_PAUSE_S = 0.2, 1.0
"""First and longest pause between attempts to connect."""
EXPIRE_EVERY_S = 1.0
_BATCH = 20
"""Messages that are handled before other tasks run."""
_LARGE = 2_000
"""A message counts as one more for each time it has so many bytes."""
_BYTES = bytes | bytearray
_UNANSWERED_S = 60.0
"""How long an unanswered job is kept; longer than any job lives."""


class Enrolled(Protocol):
    """What is known of enrolled agents."""

    def is_named(self, name: AgentName, *, now: float) -> bool:
        """Whether an agent with this colo and id is enrolled, not revoked, and has a certificate
        that has not ended by `now`, in Unix seconds."""

    def attached_as(self, identity: IdentityId) -> AgentName | None:
        """Under which colo and id an enrolled agent is attached."""


class MqttLink:
    """The link of agents that announce themselves at a broker. The direct link reports to it."""

    def __init__(
        self,
        events: FleetEvents,
        broker: Broker,
        *,
        tls: ssl.SSLContext | None,
        metrics: BrokerMetrics,
        log: FilteringBoundLogger,
        clock: RunningClock,
        peers: Peers | None = None,
        relay: Relay | None = None,
        enrolled: Enrolled | None = None,
        wall: Callable[[], float] = time.time,
        expire_every_s: float = EXPIRE_EVERY_S,
        outgoing: Outgoing | None = None,
    ) -> None:
        """`enrolled` says whose presences count; None: those of all agents that the broker lets
        publish one. `wall` gives seconds since 1970; certificates end by it."""
        self._enrolled = enrolled
        self._wall = wall
        self._strangers = Strangers()
        self._expire_every_s = expire_every_s
        self._events = events
        self._broker = broker
        self._tls = tls
        self._peers = peers or Peers()
        self._relay = relay
        self._streams: AgentLink
        self._metrics = metrics
        metrics.coordinators.set_function(lambda: self._peers.coordinators)
        self._log = log.bind(broker=str(broker))
        self._clock = clock
        self._reply_to = ""
        self._presences = Presences()
        # Agents that the broker announces, and agents whose stream is up.
        self._announced: dict[AgentKey, Process] = {}
        self._up: dict[AgentKey, ColoName] = {}
        # Published jobs that no agent has answered, and when they were published.
        self._unanswered: dict[JobId, float] = {}
        if outgoing is None:
            outgoing = Outgoing(clock=asyncio.get_running_loop().time)
        self._outgoing = outgoing
        # Why no job can be published; "" if one can.
        self._blocked = f"the broker {broker} has not answered yet"
        events.offers_blocked(self._blocked)

    def answered_by(self, streams: AgentLink) -> None:
        """Set the link whose streams carry the answers, and which reports to this one. Call it
        first."""
        self._streams = streams

    def use(self, tls: ssl.SSLContext) -> None:
        """Connect with this context from the next connection on."""
        self._tls = tls

    def check(self) -> None:
        """Check that jobs can be published.

        Raises:
            BrokerUnreachableError: they cannot; the text says why.
        """
        if self._blocked:
            raise BrokerUnreachableError(self._blocked)

    async def run(self, *, reply_to: str) -> None:
        """Stay connected to the broker until cancelled. `reply_to` is the HOST:PORT at which agents
        open their streams."""
        self._reply_to = reply_to
        await first_of(self._stay_connected(), self._expire())

    # The broker

    async def _stay_connected(self) -> None:
        identifier = f"colotrace-coordinator-{secrets.token_hex(8)}"
        pause_s = _PAUSE_S
        while True:
            try:
                async with connection(
                    self._broker, tls=self._tls, identifier=identifier, clock=self._clock
                ) as client:
                    works = [
                        self._receive(client),
                        self._publish(client),
                        exchange_reports(client, self._peers, clock=self._clock, log=self._log),
                    ]
                    if self._relay is not None:
                        works.append(
                            relay_measurements(
                                client, self._relay, clock=self._clock, log=self._log
                            )
                        )
                    await first_of(*works)
            except MqttError as error:
                if not self._blocked:
                    pause_s = _PAUSE_S
                self._lost(refusal(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _receive(self, client: Client) -> None:
        received = 0
        async for message in client.messages:
            content = bytes(message.payload) if isinstance(message.payload, _BYTES) else b""
            self._message(message, content)
            received += 1 + len(content) // _LARGE
            if received >= _BATCH:
                received = 0
                await asyncio.sleep(0)  # let other tasks run while many messages wait

    async def _publish(self, client: Client) -> None:
        await subscribe(client, bus.ALL_AGENTS)
        self._presences.back(self._clock.now())
        self._outgoing.clear()
        self._blocked = ""
        self._metrics.up.set(1)
        self._events.offers_blocked("")
        self._log.info("broker_connected")
        await self._outgoing.publish_all(client)

    def _lost(self, why: str) -> None:
        words = f"the broker {self._broker} is out of reach: {why}"
        if words != self._blocked:
            event = "broker_unreachable" if self._blocked else "broker_lost"
            self._log.warning(event, detail=why)
        self._blocked = words
        self._metrics.up.set(0)
        self._events.offers_blocked(words)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(self._expire_every_s)
            now = self._clock.now()
            for job_id in [j for j, at in self._unanswered.items() if now - at > _UNANSWERED_S]:
                del self._unanswered[job_id]
            self.judge()
            if not self._blocked:  # else no agent could renew its presence
                self._do(self._presences.expire(now))
            if self._relay is not None:
                self._relay.expire()

    def judge(self) -> None:
        """Ignore agents that were revoked or whose certificates have ended, and hear those that
        have enrolled meanwhile."""
        if self._enrolled is None:
            return
        now = self._clock.now()
        for process in [each for each in self._presences.processes() if not self._counts(each)]:
            self._log.info("agent_ignored", agent=process.agent_id, colo=process.colo)
            self._do(self._presences.gone(process, now))
        for process, content, expires_at in self._strangers.admitted(self._counts, now):
            self._presence(process.presence, content, expires_at - now)

    def tell_renamed(self, identities: Iterable[IdentityId]) -> None:
        """Have these agents take their new names: a process cannot change its name at the broker,
        and begins anew as soon as its jobs have ended."""
        if self._enrolled is None or self._blocked:
            return
        names = {self._enrolled.attached_as(identity) for identity in identities}
        for process in self._announced.values():
            if (process.colo, process.agent_id) in names:
                self._outgoing.put(process.jobs, Renamed())

    def _counts(self, process: Process) -> bool:
        """Whether its agent is enrolled; who published a presence is known by its topic alone,
        since the broker lets each user publish below its own only."""
        name = process.colo, process.agent_id
        return self._enrolled is None or self._enrolled.is_named(name, now=self._wall())

    # Commands

    def offer(self, agent: AgentKey, job: Job, *, shared: bool) -> bool:
        """See `AgentLink`."""
        process = self._announced.get(agent)
        if process is None or self._blocked:
            return False
        topic = bus.jobs(process.colo) if shared else process.jobs
        self._outgoing.put(topic, replace(job, reply_to=self._reply_to))
        self._unanswered[job.job_id] = self._clock.now()
        return shared

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:
        """See `AgentLink`. An offer that no agent has answered is cancelled at all of the colo's
        agents, since any of them may be about to accept it."""
        self._streams.cancel(agent, job_id)
        process = self._announced.get(agent)
        if self._unanswered.pop(job_id, None) is not None and process is not None:
            self._outgoing.put(bus.cancels(process.colo), Cancel(job_id))

    def ack(self, agent: AgentKey, ack: Ack, *, at_once: bool = False) -> None:
        """See `AgentLink`."""
        self._streams.ack(agent, ack, at_once=at_once)

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:
        """See `AgentLink`."""
        self._streams.close(agent, closing, detail)

    # Messages of the broker

    def _message(self, message: Message, content: bytes) -> None:
        topic = message.topic.value
        if topic == bus.COORDINATORS or topic.startswith(f"{bus.COORDINATORS}/"):
            self._between_coordinators(topic, content)
            return
        # A retained presence that is no longer renewed must not live longer here.
        left_s = getattr(message.properties, "MessageExpiryInterval", bus.PRESENCE_EXPIRY_S)
        process = bus.process_of(topic)
        if process is not None and not self._counts(process):
            if self._strangers.keep(process, content, self._clock.now() + left_s):
                self._log.info("agent_unknown", agent=process.agent_id, colo=process.colo)
            return
        self._presence(topic, content, left_s)

    def _presence(self, topic: str, content: bytes, left_s: float) -> None:
        try:
            events = self._presences.heard(topic, content, self._clock.now(), expiry_s=left_s)
        except ProtocolError as error:
            self._invalid(topic, error)
            return
        self._do(events)

    def _between_coordinators(self, topic: str, content: bytes) -> None:
        try:
            if topic == bus.COORDINATORS:
                self._peers.heard(content, self._clock.now())
            elif self._relay is not None:
                self._relay.heard(topic, content)
        except InvalidReportError as error:
            self._invalid(topic, error)

    def _invalid(self, topic: str, error: Exception) -> None:
        self._metrics.invalid_messages.inc()
        self._log.debug("broker_invalid_message", topic=topic[:200], detail=str(error))

    def _do(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Announced():
                    self._on_announced(event)
                case Gone():
                    self._on_gone(event.process)

    def _on_announced(self, announced: Announced) -> None:
        hello, available = announced.presence.hello, not announced.presence.draining
        agent = AgentKey.of(hello)
        known = self._announced.get(agent)
        if known not in (None, announced.process):
            return  # a process of another colo uses the same key
        if known is None or announced.fresh:
            # Before it is reported, since offers may follow at once.
            self._announced[agent] = announced.process
            if not self._admitted(hello, available=available):
                del self._announced[agent]
                return
        else:
            self._events.heard(agent, Capabilities(hello.families))
            self._events.set_available(agent, available=available)
        self._events.heard(agent, announced.presence.heartbeat)

    def _admitted(self, hello: Hello, *, available: bool) -> bool:
        rejected = self._events.reachable(hello, self, available=available)
        if rejected is not None and rejected.reason is Rejection.SUPERSEDED:
            # The process with its id is no longer announced, but its stream is up.
            self._detach_namesakes(hello)
            rejected = self._events.reachable(hello, self, available=available)
        return rejected is None

    def _detach_namesakes(self, hello: Hello) -> None:
        for agent, colo in list(self._up.items()):
            if (
                agent.boot_id != hello.boot_id
                and agent.agent_id == hello.agent_id
                and colo == hello.colo
            ):
                del self._up[agent]
                self._events.detached(agent)
                self._streams.close(agent, Closing.SUPERSEDED, _another(hello))

    def _on_gone(self, process: Process) -> None:
        agent = AgentKey(process.agent_id, process.boot_id)
        if self._announced.get(agent) != process:
            return
        del self._announced[agent]
        if agent in self._up:  # it may still finish its jobs
            self._events.set_available(agent, available=False, away=True)
        elif self._counts(process):
            self._events.detached(agent, "the broker announced that it had gone")
        else:
            self._events.detached(agent, "it was revoked, or its certificate has ended")

    # Reports of the streams

    def attached(self, hello: Hello, link: AgentLink) -> Admitted | Rejected:  # noqa: ARG002
        """See `StreamEvents`: an agent that has, or had, a job of this coordinator."""
        agent = AgentKey.of(hello)
        counting = self._presences.counting(hello.colo, hello.agent_id)
        if counting is not None and counting.boot_id != hello.boot_id:
            return Rejected(Rejection.SUPERSEDED, _another(hello))
        verdict = self._events.attached(
            hello, self, offers_lost=False, available=agent in self._announced
        )
        if isinstance(verdict, Admitted):
            self._up[agent] = hello.colo
            if agent not in self._announced:
                self._log.info("agent_not_announced", agent=hello.agent_id, colo=hello.colo)
        return verdict

    def frame_due(self, agent: AgentKey, job_id: JobId, size: int) -> bool | None:
        """See `StreamEvents`."""
        return self._events.frame_due(agent, job_id, size)

    def heard(self, agent: AgentKey, message: AgentMessage) -> None:
        """See `StreamEvents`."""
        if isinstance(message, Accepted | Refused):
            self._unanswered.pop(message.job_id, None)
        self._events.heard(agent, message)

    def detached(
        self, agent: AgentKey, why: str = "", *, revoked: bool = False, renamed: bool = False
    ) -> None:
        """See `StreamEvents`: the stream has ended, but the broker may still announce the agent."""
        if self._up.pop(agent, None) is None:
            return  # reported before
        if agent in self._announced:
            self._events.interrupted(agent, why)
        else:
            self._events.detached(agent, why, revoked=revoked, renamed=renamed)

    def renamed(self, former: AgentKey, agent: AgentKey) -> None:
        """See `StreamEvents`."""
        self._events.renamed(former, agent)


def _another(hello: Hello) -> str:
    return (
        f"another process is there as {hello.agent_id} of {hello.colo}; "
        "give each agent of a colo an id of its own"
    )
