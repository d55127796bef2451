"""Presence and jobs by an MQTT 5 broker; what comes of jobs, by a stream to who has asked.

Any number of coordinators publish jobs. The first job of each opens a stream to it, of the direct
link; the job is accepted there, and all else of it is told there. A stream that has had nothing to
do for a while is closed, one that cannot be had is given up, with what it was for: whoever asked
has given up, too.
"""

import asyncio
import random
import ssl
import time
from collections import OrderedDict
from contextlib import suppress

import structlog
from colotrace_proto import bus
from colotrace_proto.bus import Broker, Process, process_of
from colotrace_proto.codec import (
    ProtocolError,
    decode_from_bus,
    decode_presence,
    encode_presence,
)
from colotrace_proto.messages import Cancel, Heartbeat, Job, JobId, Presence, UnknownJob
from colotrace_proto.mqtt import Client, MqttError, connection, expiring, refusal

from colotrace_agent.jobs import Jobs

from .direct import DirectLink, Tls
from .session import Identity

_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 1.0
_SUPERSEDED_PAUSE_S = 10.0
# What the broker keeps of our namesakes comes within that time.
_NAMESAKES_S = 0.1
_LOOK_S = 1.0
_IDLE_S = 300.0
_DOWN_S = 5.0
_MOST_COORDINATORS = 64
# Jobs that have come or were taken back: longer than a job lives.
_REMEMBERED_S = 90.0
_MOST_REMEMBERED = 100_000

_log = structlog.get_logger()


class _SupersededError(Exception):
    """A later process has our id."""


class MqttLink:
    """Keeps the agent at the broker until stopped. To be made on the event loop."""

    def __init__(
        self,
        broker: Broker,
        identity: Identity,
        jobs: Jobs,
        *,
        broker_tls: ssl.SSLContext | None,
        tls: Tls | None,
    ) -> None:
        self._broker = broker
        self._broker_tls = broker_tls
        self._tls = tls
        self._identity = identity
        self._jobs = jobs
        self._process = Process(identity.colo, identity.agent_id, identity.boot_id)
        self._started_ms = time.time_ns() // 1_000_000
        self._streams: dict[str, DirectLink] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._remembered: OrderedDict[JobId, float] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._said = ""

    async def run(self) -> None:
        """Stays at the broker, and comes back whenever it is lost. Runs until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look_after_streams(), name="streams")
                tasks.create_task(self._stay(), name="broker")
        finally:
            for stream in list(self._streams):
                await self._close(stream)

    async def drain(self, *, within_s: float) -> None:
        """Takes no more jobs; returns once all have ended and their coordinators know."""
        self._jobs.draining = True
        self._changed.set()
        for stream in self._streams.values():
            stream.draining()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._jobs.finish(within_s=within_s)
                await asyncio.gather(*(stream.settled() for stream in self._streams.values()))

    # The broker

    async def _stay(self) -> None:
        pause_s = _PAUSE_S
        boot = self._identity.boot_id.hex()[:8]
        identifier = f"colotrace-agent-{self._identity.colo}-{self._identity.agent_id}-{boot}"
        while True:
            try:
                async with connection(
                    self._broker,
                    tls=self._broker_tls,
                    identifier=identifier,
                    will=self._process.presence,
                ) as client:
                    pause_s = _PAUSE_S
                    await self._serve(client)
            except MqttError as error:
                self._warn("broker lost", refusal(error))
            except _SupersededError as error:
                self._warn("not at the broker", str(error))
                await asyncio.sleep(_SUPERSEDED_PAUSE_S)
            # Many agents lose their broker together: they do not come back together.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _serve(self, client: Client) -> None:
        await client.subscribe(self._process.namesakes, qos=0)
        reading = asyncio.create_task(self._read(client), name="broker: in")
        staying = asyncio.create_task(self._be_there(client), name="broker: presence")
        try:
            done, _ = await asyncio.wait({reading, staying}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reading, staying):
                task.cancel()
            await asyncio.gather(reading, staying, return_exceptions=True)
            # The will is for those who cannot say it themselves.
            with suppress(MqttError):
                await client.publish(self._process.presence, b"", qos=1, retain=True)

    async def _be_there(self, client: Client) -> None:
        """Takes jobs, and says so now and then, and when that changes."""
        await asyncio.sleep(_NAMESAKES_S)
        shared = bus.shared_jobs(self._identity.colo)
        await client.subscribe(bus.cancels(self._identity.colo), qos=0)
        await client.subscribe(self._process.jobs, qos=0)
        if not self._jobs.draining:
            await client.subscribe(shared, qos=0)
        self._said = ""
        _log.info("at the broker", broker=str(self._broker))
        while True:
            self._changed.clear()
            if self._jobs.draining:
                await client.unsubscribe(shared)
            presence = Presence(
                self._identity.hello(),
                started_ms=self._started_ms,
                draining=self._jobs.draining,
                heartbeat=Heartbeat(len(self._jobs), self._jobs.counters()),
            )
            await client.publish(
                self._process.presence,
                encode_presence(presence),
                qos=1,
                retain=True,
                properties=expiring(bus.PRESENCE_EXPIRY_S),
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(bus.RENEWAL_S):
                    await self._changed.wait()

    async def _read(self, client: Client) -> None:
        async for message in client.messages:
            payload = message.payload
            if not isinstance(payload, bytes | bytearray):
                continue
            try:
                self._heard(message.topic.value, bytes(payload))
            except ProtocolError as error:
                _log.warning("rubbish at the broker", topic=message.topic.value, reason=str(error))

    def _heard(self, topic: str, payload: bytes) -> None:
        namesake = process_of(topic)
        if namesake is not None:
            self._presence(namesake, payload)
            return
        message = decode_from_bus(payload)
        match message:
            case Cancel():
                self._remember(message.job_id)
                for stream in self._streams.values():
                    stream.take_back(message.job_id)
                self._jobs.cancel(message.job_id)
            case Job() | UnknownJob():
                if self._remember(message.job_id):
                    self._job(message)

    def _presence(self, namesake: Process, payload: bytes) -> None:
        if namesake == self._process:
            if not _speaks_of(namesake, payload):
                # Taken away by somebody, or by the late will of a connection that we had before.
                self._changed.set()
        elif payload:
            presence = decode_presence(payload)
            if _process(presence) != namesake:
                raise ProtocolError("it speaks of another process than its topic")
            self._compare(namesake, presence)

    def _compare(self, namesake: Process, presence: Presence) -> None:
        if (presence.started_ms, namesake.boot_id) > (self._started_ms, self._process.boot_id):
            raise _SupersededError(
                f"a later process is there as {namesake.agent_id} of {namesake.colo}; "
                "give each agent of a colo an id of its own"
            )

    def _remember(self, job_id: JobId) -> bool:
        """Whether that job is new: one that is delivered again, or was taken back before it came,
        is not."""
        now = self._loop.time()
        while self._remembered:
            oldest, at = next(iter(self._remembered.items()))
            if now - at < _REMEMBERED_S and len(self._remembered) < _MOST_REMEMBERED:
                break
            del self._remembered[oldest]
        new = job_id not in self._remembered
        self._remembered.setdefault(job_id, now)
        return new

    # Streams

    def _job(self, job: Job | UnknownJob) -> None:
        if not job.reply_to:
            raise ProtocolError("a job that does not say whom to answer")
        stream = self._streams.get(job.reply_to)
        if stream is None:
            if len(self._streams) >= _MOST_COORDINATORS:
                raise ProtocolError(f"jobs of more than {_MOST_COORDINATORS} coordinators")
            stream = DirectLink(job.reply_to, self._identity, self._jobs, tls=self._tls)
            self._streams[job.reply_to] = stream
            self._tasks[job.reply_to] = asyncio.create_task(
                stream.run(), name=f"stream to {job.reply_to}"
            )
        stream.take(job)

    async def _look_after_streams(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            for address, stream in list(self._streams.items()):
                if stream.down_s > _DOWN_S or stream.idle_s > _IDLE_S:
                    await self._close(address)

    async def _close(self, address: str) -> None:
        stream, task = self._streams.pop(address), self._tasks.pop(address)
        stream.abandon()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _warn(self, what: str, why: str) -> None:
        if why != self._said:
            self._said = why
            _log.warning(what, broker=str(self._broker), reason=why)


def _process(presence: Presence) -> Process:
    hello = presence.hello
    return Process(hello.colo, hello.agent_id, hello.boot_id)


def _speaks_of(process: Process, payload: bytes) -> bool:
    try:
        return _process(decode_presence(payload)) == process
    except ProtocolError:
        return False
