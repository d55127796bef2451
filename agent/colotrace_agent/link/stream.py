"""The gRPC stream to a coordinator: attached again with back-off whenever it ends."""

import asyncio
import gc
import math
import random
from contextlib import suppress

import grpc
import structlog
from colotrace_proto import codec
from colotrace_proto.codec.batches import MAX_MESSAGES, agent_batch
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import Cancel, Job, JobId, UnknownJob
from colotrace_proto.running import RunningClock
from colotrace_proto.tasks import first_of
from colotrace_proto.v1.fleet_pb2 import AgentMessage, CoordinatorMessage
from colotrace_proto.v1.fleet_pb2_grpc import FleetStub

from colotrace_agent.host.resolve import Resolver, UnresolvableError
from colotrace_agent.job.admission import Jobs

from .backoff import MIN_PAUSE_S, BackOff
from .channel import Dialer, link_resolver
from .session import Identity, Session
from .status import CallStatus, StreamEndedError
from .tls import Tls
from .waiting import WaitingJobs

_Call = grpc.aio.StreamStreamCall[AgentMessage, CoordinatorMessage]

# Only an operator can resolve these.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.ALREADY_EXISTS,  # another process has this agent's id
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)
_HEARTBEATS_MISSED = 3
BUSY_HEARTBEAT_S = 1.0
FIRST_HEARTBEAT_S = 10.0
"""The first heartbeat comes soon, so that the list of agents has its numbers after a start."""
_JITTER = 0.2  # share by which intervals vary, so that heartbeats of many agents spread
_BATCH_BYTES = 65_536

_log = structlog.get_logger()


class Stream:
    """Stays attached to one coordinator until cancelled. Create it on the event loop."""

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
        """`coordinator` is HOST:PORT; `resolver` looks up its name for each attempt."""
        clock = clock or RunningClock()
        self._coordinator = coordinator
        self._dialer = Dialer(
            coordinator, tls=tls, clock=clock, resolver=resolver or link_resolver()
        )
        self._jobs = jobs
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._sendable = asyncio.Event()
        self._session = Session(identity, jobs, wake=self._sendable.set)
        self._settled = asyncio.Event()
        self._busy = asyncio.Event()
        self._back_off = BackOff()
        self._waiting = WaitingJobs()
        self._job_waits = asyncio.Event()
        self._renewed = asyncio.Event()
        self._up_at = self._asked_at = clock.now()

    @property
    def idle_s(self) -> float:
        """Seconds since the last job, if none is under way; else 0."""
        busy = self._session.unsettled or self._waiting
        return 0.0 if busy else self._clock.now() - self._asked_at

    @property
    def down_s(self) -> float:
        """Seconds since the stream was up or a job came for it; 0 while it is up."""
        if self._session.welcomed:
            return 0.0
        return self._clock.now() - max(self._up_at, self._asked_at)

    @property
    def is_attached(self) -> bool:
        """Whether the coordinator has welcomed the agent on the stream that is up."""
        return self._session.welcomed

    def take(self, job: Job | UnknownJob) -> None:
        """Take a job that came by the broker; it is answered on the stream, as soon as that is
        up."""
        self._asked_at = self._clock.now()
        if self._session.welcomed:
            self._session.heard(job)
            self._busy.set()
        else:
            self._waiting.add(job, self._loop.time())
            self._job_waits.set()

    def cancel(self, job_id: JobId) -> None:
        """Cancel a job, if this coordinator asked for it; the cancellation came by the broker."""
        self._waiting.cancel(job_id)
        self._session.heard(Cancel(job_id))

    def renew(self) -> None:
        """Attach again, with the certificate files as they are now; jobs go on."""
        self._renewed.set()

    def abandon(self) -> None:
        """Cancel the coordinator's jobs. Nobody acknowledges their frames any more."""
        self._session.abandon()
        self._settled.set()

    def changed(self) -> None:
        """See `Session`."""
        self._session.changed()

    async def settled(self) -> None:
        """Returns once all jobs have ended and the coordinator has acknowledged their frames."""
        while self._session.unsettled:
            self._settled.clear()
            await self._settled.wait()

    async def run(self) -> None:
        """Attaches, and attaches again whenever the stream ends. Runs until cancelled."""
        while True:
            refused, slow, began = False, False, self._clock.now()
            try:
                within_s = self._back_off.attempt_s
                async with await self._dialer.open(within_s=within_s) as channel:
                    await self._attach(channel, within_s=within_s)
            except (StreamEndedError, ProtocolError, UnresolvableError, OSError) as error:
                refused = isinstance(error, StreamEndedError) and error.code in _REFUSALS
                slow = isinstance(error, TimeoutError)
                reason = str(error) or type(error).__name__
                _log.warning("not attached", coordinator=self._coordinator, reason=reason)
            finally:
                was_attached = self._session.welcomed
                if was_attached:
                    self._up_at = self._clock.now()
                    self._dialer.lost()
                elif not slow:  # else it has not shown another certificate, and has enough to do
                    self._dialer.failed()
                self._session.detached()
            if was_attached:
                pause_s = self._back_off.detached(busy=bool(self._session.unsettled))
            else:
                pause_s = self._back_off.failed(self._clock.now() - began)
            if refused:
                pause_s = self._back_off.refused()
            await self._pause(pause_s, refused=refused)
            # A failed call is part of a reference cycle, and its closed channel keeps connecting as
            # long as the call exists.
            gc.collect()

    async def _pause(self, pause_s: float, *, refused: bool) -> None:
        """Waits before the next attempt. A job ends the wait: its coordinator must be up."""
        if self._waiting and not refused:
            pause_s = min(pause_s, MIN_PAUSE_S)
        self._job_waits.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await (asyncio.sleep(pause_s) if refused else self._job_waits.wait())

    async def _attach(self, channel: grpc.aio.Channel, *, within_s: float) -> None:
        call: _Call = FleetStub(channel).Attach()
        status = CallStatus(call)
        self._session.attached()
        self._renewed.clear()
        try:
            await first_of(
                self._read(call, welcome_within_s=within_s),
                self._write(call),
                self._send_heartbeats(),
                self._renewed.wait(),
            )
        except grpc.aio.AioRpcError as error:
            raise status.error(error) from error
        finally:
            call.cancel()

    async def _read(self, call: _Call, *, welcome_within_s: float) -> None:
        silence_s = welcome_within_s
        while True:
            async with self._clock.timeout(silence_s):
                message = await call.read()
            if not isinstance(message, CoordinatorMessage):  # the end of the stream
                return
            was_welcomed = self._session.welcomed
            for decoded in codec.all_from_coordinator(message):
                self._session.heard(decoded)
            if self._session.welcomed and not was_welcomed:
                _log.info("attached", coordinator=self._coordinator)
                silence_s = _HEARTBEATS_MISSED * self._session.heartbeat_ms / 1e3
                for job in self._waiting.take(self._loop.time()):
                    self._session.heard(job)
            (self._busy if self._session.unsettled else self._settled).set()

    async def _write(self, call: _Call) -> None:
        while True:
            await self._sendable.wait()
            self._sendable.clear()
            while (message := self._due_together()) is not None:
                try:
                    await call.write(message)
                except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                    # The stream has ended. The reader raises the reason and cancels this task.
                    await self._loop.create_future()

    def _due_together(self) -> AgentMessage | None:
        """The next message to write: all that can be sent now, up to `_BATCH_BYTES`."""
        messages: list[AgentMessage] = []
        size, most = 0, MAX_MESSAGES if self._session.batches else 1
        while size < _BATCH_BYTES and len(messages) < most:
            message = self._session.to_send()
            if message is None:
                break
            messages.append(codec.encode_from_agent(message))
            size += messages[-1].ByteSize()
        if len(messages) > 1:
            return agent_batch(messages)
        return messages[0] if messages else None

    async def _send_heartbeats(self) -> None:
        """A heartbeat each second while the coordinator's jobs are unsettled, and one after them,
        which has the last counters. Otherwise they are as rare as the coordinator wants them, after
        the first one."""
        most_s = FIRST_HEARTBEAT_S
        while True:
            self._busy.clear()
            if self._session.unsettled:
                await asyncio.sleep(BUSY_HEARTBEAT_S)
            elif await self._busy_within(self._idle_interval_s(most_s)):
                continue
            if self._session.welcomed:
                self._session.heartbeat()
                most_s = math.inf

    def _idle_interval_s(self, most_s: float) -> float:
        interval_s = min(self._session.heartbeat_ms / 1e3, most_s)
        return interval_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311

    async def _busy_within(self, seconds: float) -> bool:
        """Wait for a job; False if none came within this time."""
        try:
            async with asyncio.timeout(seconds):
                return await self._busy.wait()
        except TimeoutError:
            return False
