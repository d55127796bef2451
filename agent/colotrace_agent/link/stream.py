"""The stream to a coordinator, over gRPC: kept up, and taken up again where it was."""

import asyncio
import ipaddress
import random
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog
from colotrace_proto import codec
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import Cancel, Job, JobId, UnknownJob
from colotrace_proto.running import RunningClock
from colotrace_proto.v1.fleet_pb2 import AgentMessage, CoordinatorMessage
from colotrace_proto.v1.fleet_pb2_grpc import FleetStub

from colotrace_agent.host.resolve import Resolver, UnresolvableError
from colotrace_agent.job.admission import Jobs

from .session import Identity, Session
from .tls import ImpostorError, RefusedError, Tls

if TYPE_CHECKING:
    from .pins import Pins

_Call = grpc.aio.StreamStreamCall[AgentMessage, CoordinatorMessage]

# A coordinator that restarts is found again well within 5 s, and one that stays away is not
# pestered.
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
# What only somebody's hand can mend is not asked for every other second.
_REFUSED_PAUSE_S = 10.0
_REFUSALS = frozenset(
    {
        grpc.StatusCode.ALREADY_EXISTS,  # another process has our id
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)
_HEARTBEATS_MISSED = 3
_BUSY_HEARTBEAT_S = 1.0
_WELCOME_WITHIN_S = 5.0
_LARGEST_MESSAGE = 1 << 20
_LOOKUP_S = 30.0
_LOOKUP_THREADS = 4
_MOST_EARLY = 1_000
# A coordinator waits no longer to be told that a job is accepted. It may have less patience, but
# then it takes the job back.
_EARLY_S = 3.0

_log = structlog.get_logger()

T = TypeVar("T")


class _EndedError(Exception):
    """The stream has ended, with this status."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code


class _Ending:
    """The status with which a call ends.

    It is taken down in the moment when it arrives: a write that was under way then fails a moment
    later, and gRPC puts "Internal error from Core" in the true status's place.
    """

    def __init__(self, call: _Call) -> None:
        self._status: tuple[grpc.StatusCode, str] | None = None
        call.add_done_callback(self._arrived)

    def error(self, seen: grpc.aio.AioRpcError) -> _EndedError:
        """What a call that has failed with `seen` comes to."""
        return _EndedError(*(self._status or (seen.code(), seen.details() or "")))

    def _arrived(self, call: _Call) -> None:
        self._status = _at_once(call.code()), _at_once(call.details()) or ""


def resolver_of_links() -> Resolver:
    """A resolver for coordinators' names, which targets' names do not hold up. To be made on the
    event loop."""
    return Resolver(within_s=_LOOKUP_S, threads=_LOOKUP_THREADS)


class Stream:
    """Stays attached to the coordinator until cancelled. To be made on the event loop."""

    def __init__(
        self,
        coordinator: str,
        identity: Identity,
        jobs: Jobs,
        *,
        tls: Tls | None,
        clock: RunningClock | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        """`coordinator` is HOST:PORT; `resolver` looks its name up for each attempt."""
        clock = clock or RunningClock()
        self._coordinator = coordinator
        self._resolver = resolver or resolver_of_links()
        self._tls = tls
        self._pins: Pins | None = None
        # As found for the present attempt.
        self._place = coordinator
        self._credentials: grpc.ChannelCredentials | None = None
        if tls is not None:
            from . import pins  # not loaded by agents without TLS

            self._pins = pins.Pins(coordinator, clock=clock)
        self._jobs = jobs
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._something = asyncio.Event()
        self._session = Session(identity, jobs, wake=self._something.set)
        self._settled = asyncio.Event()
        # Jobs that have come by another way before the stream was up, and when.
        self._early: deque[tuple[Job | UnknownJob, float]] = deque(maxlen=_MOST_EARLY)
        self._came_early = asyncio.Event()
        self._renewed = asyncio.Event()
        self._up_at = self._asked_at = clock.now()

    @property
    def idle_s(self) -> float:
        """For how long nothing has been under way."""
        busy = self._session.unsettled or self._early
        return 0.0 if busy else self._clock.now() - self._asked_at

    @property
    def down_s(self) -> float:
        """For how long the stream has been down, and no job has come that wants it; 0 while it is
        up."""
        if self._session.welcomed:
            return 0.0
        return self._clock.now() - max(self._up_at, self._asked_at)

    def take(self, job: Job | UnknownJob) -> None:
        """A job of the coordinator that has come by another way; it is answered as soon as the
        stream is up, if that is soon."""
        self._asked_at = self._clock.now()
        if self._session.welcomed:
            self._session.heard(job)
        else:
            self._early.append((job, self._loop.time()))
            self._came_early.set()

    def cancel(self, job_id: JobId) -> None:
        """The coordinator, or another, has taken a job back by another way."""
        for early in [each for each in self._early if each[0].job_id == job_id]:
            self._early.remove(early)
        self._session.heard(Cancel(job_id))

    def renew(self) -> None:
        """Attach anew, with the certificates as their files are now; jobs go on."""
        self._renewed.set()

    def abandon(self) -> None:
        """Gives up what runs for the coordinator."""
        self._session.abandon()

    def capabilities_changed(self) -> None:
        """See `Session`."""
        self._session.capabilities_changed()

    def draining(self) -> None:
        """The agent takes no more jobs."""
        self._session.draining()

    async def settled(self) -> None:
        """Returns once all jobs have ended and the coordinator knows."""
        while self._session.unsettled:
            self._settled.clear()
            await self._settled.wait()

    async def run(self) -> None:
        """Attaches, and attaches again whenever the stream ends. Runs until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            refused = False
            try:
                await self._find()
                async with self._channel() as channel:
                    await self._attach(channel)
            except (_EndedError, ProtocolError, UnresolvableError, OSError) as error:
                refused = isinstance(error, _EndedError) and error.code in _REFUSALS
                reason = str(error) or type(error).__name__
                _log.warning("not attached", coordinator=self._coordinator, reason=reason)
            finally:
                was_attached = self._session.welcomed
                if not was_attached and self._pins is not None:
                    self._pins.doubt()
                if was_attached:
                    self._up_at = self._clock.now()
                self._session.detached()
            if refused:
                pause_s = _REFUSED_PAUSE_S
            elif was_attached:
                pause_s = _FIRST_PAUSE_S
            else:
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            # Many agents lose their coordinator together: they do not come back together.
            await self._pause(pause_s * random.uniform(0.5, 1.0), refused=refused)  # noqa: S311

    async def _pause(self, pause_s: float, *, refused: bool) -> None:
        """Waits before the next attempt; a job that comes says that the coordinator is there."""
        if self._early and not refused:
            pause_s = min(pause_s, _FIRST_PAUSE_S)
        self._came_early.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await (asyncio.sleep(pause_s) if refused else self._came_early.wait())

    async def _addresses(self) -> list[str]:
        """The coordinator's addresses, in the host's order.

        gRPC's own resolver (c-ares) ends a search where a search domain fails, and knows no
        nsswitch.

        Raises:
            UnresolvableError: its name has no address.
        """
        host = self._coordinator.rpartition(":")[0].strip("[]")
        found = await self._resolver.addresses(host)
        return [str(ipaddress.ip_address(address)) for address in found]

    async def _find(self) -> None:
        """Look up where the coordinator is, and by which certificate it is known.

        Raises:
            UnresolvableError: its name has no address.
            OSError: a file cannot be read, or the coordinator cannot be reached.
            _EndedError: who is there has no coordinator's certificate.
        """
        addresses = await self._addresses()
        self._place = _grpc_target(addresses, self._coordinator.rpartition(":")[2])
        if self._tls is not None and self._pins is not None:
            pem = self._tls.read()
            try:
                roots = await self._pins.roots(pem, addresses)
            except ImpostorError as error:
                raise _EndedError(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
            except RefusedError as error:
                # A coordinator that is stopping hangs up, too.
                expired = grpc.StatusCode.UNAUTHENTICATED
                code = expired if error.expired else grpc.StatusCode.UNAVAILABLE
                raise _EndedError(code, str(error)) from error
            self._credentials = grpc.ssl_channel_credentials(roots, pem.key, pem.certificate)

    def _channel(self) -> grpc.aio.Channel:
        options = (
            # What its certificate must be for, whatever address it was reached at.
            ("grpc.default_authority", self._coordinator),
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.enable_http_proxy", 0),
        )
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._place, options)
        return grpc.aio.secure_channel(self._place, self._credentials, options)

    async def _attach(self, channel: grpc.aio.Channel) -> None:
        call: _Call = FleetStub(channel).Attach()
        ending = _Ending(call)
        self._session.attached()
        self._renewed.clear()
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._read(call), name="stream down"),
            asyncio.create_task(self._write(call), name="stream up"),
            asyncio.create_task(self._beat(), name="heartbeats"),
            asyncio.create_task(self._renewed.wait(), name="renewal"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except grpc.aio.AioRpcError as error:
            raise ending.error(error) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            call.cancel()

    async def _read(self, call: _Call) -> None:
        silence_s = _WELCOME_WITHIN_S
        while True:
            async with self._clock.timeout(silence_s):
                message = await call.read()
            if not isinstance(message, CoordinatorMessage):  # the end of the stream
                return
            decoded = codec.decode_from_coordinator(message)
            if decoded is None:
                continue  # from a newer coordinator
            fresh = not self._session.welcomed
            self._session.heard(decoded)
            if not self._session.unsettled:
                self._settled.set()
            if fresh and self._session.welcomed:
                _log.info("attached", coordinator=self._coordinator)
                silence_s = _HEARTBEATS_MISSED * self._session.heartbeat_ms / 1e3
                self._take_early()

    def _take_early(self) -> None:
        now = self._loop.time()
        while self._early:
            job, at = self._early.popleft()
            if isinstance(job, Job):
                left_ms = job.remaining_ms - round((now - at) * 1e3)
                job = replace(job, remaining_ms=max(left_ms, 0))
            if now - at <= _EARLY_S:  # else another agent has it by now
                self._session.heard(job)

    async def _write(self, call: _Call) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while (message := self._session.to_send()) is not None:
                try:
                    await call.write(codec.encode_from_agent(message))
                except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                    # The stream has ended: its reader tells, and cancels this.
                    await self._loop.create_future()

    async def _beat(self) -> None:
        silent_s = 0.0
        while True:
            await asyncio.sleep(_BUSY_HEARTBEAT_S)
            silent_s += _BUSY_HEARTBEAT_S
            if len(self._jobs) or silent_s >= self._session.heartbeat_ms / 1e3:
                self._session.heartbeat()
                silent_s = 0.0


def _at_once(known: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    known.close()
    raise RuntimeError("it waits")


def _grpc_target(addresses: list[str], port: str) -> str:
    """All addresses as gRPC takes them: of one family. Mapped IPv4 addresses are of both, and the
    kernel sends IPv4 for them (RFC 4291 section 2.5.5.2)."""
    if all(":" not in address for address in addresses):
        return "ipv4:" + ",".join(f"{address}:{port}" for address in addresses)
    mapped = (each if ":" in each else f"::ffff:{each}" for each in addresses)
    return "ipv6:" + ",".join(f"[{address}]:{port}" for address in mapped)
