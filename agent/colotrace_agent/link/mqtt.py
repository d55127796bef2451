"""Presence and jobs by an MQTT 5 broker; results on a gRPC stream to each coordinator (`streams`).

Any number of coordinators publish jobs. If several processes have the same agent id, the one that
started last stays at the broker; the others retry every `SUPERSEDED_PAUSE_S`.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from aiomqtt import Client, Message, MqttError
from colotrace_proto import bus
from colotrace_proto.bus import Broker, Process, process_of
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import Cancel, Job, Presence, Renamed, UnknownJob
from colotrace_proto.mqtt import connection, expiring, refusal, subscribe
from colotrace_proto.published import decode_presence, decode_published, encode_presence
from colotrace_proto.running import RunningClock
from colotrace_proto.tasks import first_of

from colotrace_agent.errors import AgentError
from colotrace_agent.job.admission import Jobs

from .remembered import Remembered
from .session import Identity, heartbeat_of
from .streams import Streams
from .tls import Tls

_MIN_PAUSE_S, _MAX_PAUSE_S = 0.2, 1.0
SUPERSEDED_PAUSE_S = 10.0
# Within this time the broker delivers the retained presences of processes with the same agent id.
_NAMESAKES_S = 0.1
# Timeout of the broker's copy of our own presence.
PRESENCE_ECHO_S = 5.0
_INVALID_LOG_S = 60.0

_log = structlog.get_logger()


class SupersededError(AgentError):
    """A later process has this agent's id."""


class MqttLink:
    """Keeps the agent at the broker until stopped. Create it on the event loop."""

    def __init__(
        self,
        broker: Broker,
        identity: Identity,
        jobs: Jobs,
        *,
        broker_tls: ssl.SSLContext | None,
        tls: Tls | None,
        clock: RunningClock,
        renamed: Callable[[], None] = lambda: None,
    ) -> None:
        """`renamed` is called if a coordinator says that this agent has another name by now."""
        self._renamed = renamed
        self._broker = broker
        self._broker_tls = broker_tls
        self._identity = identity
        self._jobs = jobs
        self._process = Process(identity.colo, identity.agent_id, identity.boot_id)
        self._started_ms = time.time_ns() // 1_000_000
        self._tls = tls
        self._streams = Streams(identity, jobs, tls=tls, clock=clock)
        self._remembered = Remembered()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        # The presence is out of date; the broker has retained the last one.
        self._changed = asyncio.Event()
        self._retained = asyncio.Event()
        self._logged_reason = ""
        self._invalid = 0
        self._invalid_logged_at = self._loop.time() - _INVALID_LOG_S

    @property
    def is_attached(self) -> bool:
        """Whether the broker has this agent's presence."""
        return self._retained.is_set()

    def use(self, broker_tls: ssl.SSLContext) -> None:
        """Connects with this context from the next connection on."""
        self._broker_tls = broker_tls

    async def run(self) -> None:
        """Stays at the broker, and comes back whenever it is lost. Runs until cancelled."""
        await first_of(self._streams.run(), self._stay())

    def changed(self) -> None:
        """See `Session`; the presence is published anew."""
        self._changed.set()
        self._streams.changed()

    def renew(self) -> None:
        """See `Stream`."""
        self._streams.renew()

    async def settled(self) -> None:
        """See `Streams`."""
        await self._streams.settled()

    # The broker

    async def _stay(self) -> None:
        pause_s = _MIN_PAUSE_S
        # Brokers limit the length of client ids, some to 100.
        boot = self._identity.boot_id.hex()[:8]
        identifier = f"colotrace-{self._identity.colo}-{self._identity.agent_id}-{boot}"
        while True:
            self._retained.clear()
            try:
                async with connection(
                    self._broker,
                    tls=self._broker_tls,
                    identifier=identifier,
                    will=self._process.presence,
                    clock=self._clock,
                ) as client:
                    await self._serve(client)
            except MqttError as error:
                self._warn("broker lost", self._why(error))
            except SupersededError as error:
                self._warn("superseded at the broker", str(error))
                await asyncio.sleep(SUPERSEDED_PAUSE_S)
            if self._retained.is_set():
                pause_s = _MIN_PAUSE_S
            # Jitter: many agents lose a broker at the same time.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _serve(self, client: Client) -> None:
        try:
            await first_of(self._read(client), self._keep_presence(client))
        finally:
            # The last will is only for a connection that breaks.
            with suppress(MqttError):
                if self._jobs.draining:  # by which coordinators tell a stop from a loss
                    await self._publish_presence(client)
                await client.publish(self._process.presence, b"", qos=1, retain=True)

    async def _keep_presence(self, client: Client) -> None:
        """Subscribes to jobs, and publishes the presence: periodically, and when it changes."""
        await subscribe(client, self._process.same_id_presences)
        await asyncio.sleep(_NAMESAKES_S)
        await subscribe(client, bus.cancels(self._identity.colo))
        await subscribe(client, self._process.jobs)
        shared = bus.shared_jobs(self._identity.colo)
        if not self._jobs.draining:
            await subscribe(client, shared)
        self._retained.clear()
        await self._publish_presence(client)
        await self._await_own_presence()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(bus.RENEWAL_S):
                    await self._changed.wait()
            if self._jobs.draining:
                await client.unsubscribe(shared)
            await self._publish_presence(client)

    async def _publish_presence(self, client: Client) -> None:
        self._changed.clear()
        presence = Presence(
            self._identity.hello(),
            started_ms=self._started_ms,
            draining=self._jobs.draining,
            heartbeat=heartbeat_of(self._jobs),
        )
        await client.publish(
            self._process.presence,
            encode_presence(presence),
            qos=1,
            retain=True,
            properties=expiring(bus.PRESENCE_EXPIRY_S),
        )

    async def _await_own_presence(self) -> None:
        """Waits until the broker delivers our presence: it need not report that it forbids one."""
        try:
            async with self._clock.timeout(PRESENCE_ECHO_S):
                await self._retained.wait()
        except TimeoutError:
            topic = self._process.presence
            raise MqttError(f"it does not let us write {topic}, or not read it") from None
        self._logged_reason = ""
        _log.info("at the broker", broker=str(self._broker))

    # Messages from the broker

    async def _read(self, client: Client) -> None:
        async for message in client.messages:
            try:
                self._heard(message)
            except ProtocolError as error:
                self._log_invalid(message.topic.value, str(error))

    def _heard(self, message: Message) -> None:
        topic = message.topic.value
        payload = message.payload if isinstance(message.payload, bytes | bytearray) else b""
        namesake = process_of(topic)
        if namesake is not None:
            self._presence(namesake, bytes(payload))
        elif message.retain:
            raise ProtocolError("it is retained, as only presences may be")
        else:
            self._job(topic, bytes(payload))

    def _presence(self, namesake: Process, payload: bytes) -> None:
        if namesake == self._process:
            if _is_about(namesake, payload):
                self._retained.set()
            else:
                # Removed by another client, or by the late will of our previous connection.
                self._changed.set()
        elif payload:
            presence = decode_presence(payload)
            if _process(presence) != namesake:
                raise ProtocolError("it is about another process than its topic")
            self._compare(namesake, presence)

    def _compare(self, namesake: Process, presence: Presence) -> None:
        if (presence.started_ms, namesake.boot_id) > (self._started_ms, self._process.boot_id):
            raise SupersededError(
                f"a later process is there as {namesake.agent_id} of {namesake.colo}; "
                "give each agent of a colo an id of its own"
            )

    def _job(self, topic: str, payload: bytes) -> None:
        message = decode_published(payload)
        # Cancellations go to all agents of the colo, jobs to one.
        to_all = topic == bus.cancels(self._identity.colo)
        match message:
            case None:
                pass
            case Cancel() if to_all:
                self._remembered.add(message.job_id, self._loop.time())
                self._streams.cancel(message.job_id)
            case Job() | UnknownJob() if not to_all:
                if self._remembered.add(message.job_id, self._loop.time()):
                    self._streams.take(message)
            case Renamed() if topic == self._process.jobs:
                self._renamed()
            case _:
                raise ProtocolError("a message of this kind does not belong to the topic")

    def _log_invalid(self, topic: str, reason: str) -> None:
        self._invalid += 1
        now = self._loop.time()
        if now - self._invalid_logged_at >= _INVALID_LOG_S:
            _log.warning(
                "invalid messages at the broker",
                topic=topic[:200],
                reason=reason,
                messages=self._invalid,
            )
            self._invalid, self._invalid_logged_at = 0, now

    def _why(self, error: MqttError) -> str:
        words = refusal(error)
        if self._tls is not None:
            from . import pins  # not loaded by agents without TLS

            if fault := pins.own_fault(self._tls.read()):
                return f"{words}. This agent's certificate is not valid: {fault}"
        return words

    def _warn(self, event: str, reason: str) -> None:
        if reason != self._logged_reason:
            self._logged_reason = reason
            _log.warning(event, broker=str(self._broker), reason=reason)


def _process(presence: Presence) -> Process:
    hello = presence.hello
    return Process(hello.colo, hello.agent_id, hello.boot_id)


def _is_about(process: Process, payload: bytes) -> bool:
    try:
        return _process(decode_presence(payload)) == process
    except ProtocolError:
        return False
