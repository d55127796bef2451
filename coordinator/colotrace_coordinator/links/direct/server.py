"""The gRPC server that agents attach to."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from colotrace_proto.codec.batches import BATCHES_SINCE
from colotrace_proto.messages import (
    PROTOCOL_VERSION,
    Ack,
    Cancel,
    FromAgent,
    FromCoordinator,
    Hello,
    Job,
    JobId,
    Welcome,
)
from colotrace_proto.running import RunningClock
from colotrace_proto.v1 import fleet_pb2 as pb
from grpc import aio
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.authority.identity import EnrolledName
from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.link import (
    Closing,
    Rejected,
    Rejection,
    StreamEvents,
)
from colotrace_coordinator.fleet.registry import MAX_AGENTS
from colotrace_coordinator.shares import Shares
from colotrace_coordinator.turns import Turns

from .attached import RENAMED, Attached, AttachedStreams
from .calls import bound, read, write
from .identities import Enrolled, identified
from .intake import Intake, Origin
from .options import MAX_STREAMS_OF_ONE
from .peer import address_of, certificate_of
from .stream import AgentStream, StreamClosedError
from .tls import AgentCertificate, ServerTls, TlsSource
from .waiting import Waiting

if TYPE_CHECKING:
    Context = aio.ServicerContext[bytes, pb.CoordinatorMessage]

MAX_STREAMS = MAX_AGENTS + MAX_AGENTS // 10
"""More than agents: one that attaches again has two streams for a moment."""
HEARTBEAT_S = 300.0
"""Pings find out that a host has vanished. A heartbeat of each side costs as much CPU as nine of
them: every 30 s, heartbeats took more than all else that idle agents cause."""
HELLO_S = 10.0
"""Timeout of an agent's first message. Thousands of agents may attach at once."""
EXPIRY_CHECK_S = 0.5
"""Interval at which the expiry of agents' certificates is checked."""
STOP_S = 2.0
_REJECTIONS = {
    Rejection.SUPERSEDED: grpc.StatusCode.ALREADY_EXISTS,
    Rejection.FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Rejection.UNFIT: grpc.StatusCode.FAILED_PRECONDITION,
}
_CLOSINGS = {
    Closing.SUPERSEDED: grpc.StatusCode.ALREADY_EXISTS,
    Closing.RESYNC: grpc.StatusCode.INVALID_ARGUMENT,
}


class DirectLink:
    """The link of agents that connect themselves. `tls=None` serves without TLS.

    A stream's holder is its enrolled agent, its certificate of another CA, or its address without
    certificates. Each holder has a share of every bounded resource.
    """

    def __init__(
        self,
        events: StreamEvents,
        *,
        host: str,
        port: int,
        tls: TlsSource | None,
        log: FilteringBoundLogger,
        clock: RunningClock,
        turns: Turns,
        heartbeat_s: float = HEARTBEAT_S,
        hello_s: float = HELLO_S,
        intake: Intake | None = None,
        wall: Callable[[], float] = time.time,
        expiry_check_s: float = EXPIRY_CHECK_S,
        enrolled: Enrolled | None = None,
        renames: bool = True,
    ) -> None:
        """`wall` gives seconds since 1970; certificates expire by it, checked each
        `expiry_check_s`. `enrolled` knows the agents that have an identity in their
        certificates. With `renames` they attach under the names that it knows, and otherwise under
        those of their certificates, as which they are announced at a broker."""
        self._events = events
        self._host = host
        self._port = port
        self._tls_source = tls
        self._tls: ServerTls | None = None
        self._expiry_check_s = expiry_check_s
        self._enrolled = enrolled
        self._intake = intake or Intake(clock=clock.now)
        self._waiting = Waiting()
        self._shares: Shares[str] = Shares(MAX_STREAMS, MAX_STREAMS_OF_ONE)
        self._log = log
        self._clock = clock
        self._turns = turns
        self._heartbeat_s = heartbeat_s
        self._hello_s = hello_s
        self._coordinator_id = secrets.token_bytes(16)
        self._renames = renames
        self.attached = AttachedStreams(enrolled, most=MAX_STREAMS, renames=renames, wall=wall)
        self._streams = self.attached.by_agent
        self._expiry_check: asyncio.TimerHandle | None = None
        self._server: aio.Server | None = None
        self._stopping = False

    async def start(self) -> int:
        """Listen; returns the port, which is a free one if 0 was given.

        Raises:
            ListenError: the address cannot be listened on.
            TlsError: the certificates cannot be used.
        """
        credentials = None
        if self._tls_source is not None:
            self._tls = ServerTls(self._tls_source)
            credentials = self._tls.credentials()
        server, port, address = bound(
            self._attach, host=self._host, port=self._port, credentials=credentials
        )
        await server.start()
        self._server = server
        if self._tls is not None:
            self._check_expiry()
        self._log.info("agents_listening", address=address, tls=credentials is not None)
        return port

    async def stop(self) -> None:
        """End every stream with UNAVAILABLE, so that agents reconnect to the next coordinator."""
        self._stopping = True
        if self._expiry_check is not None:
            self._expiry_check.cancel()
        self.attached.end_all("the coordinator is stopping")
        if self._server is not None:
            await self._server.stop(STOP_S)
            self._server = None

    def reload(self) -> None:
        """Read the certificates again. If a CA of agents is trusted no more, every stream ends, so
        that agents present their certificates again; their jobs go on.

        Raises:
            TlsError: the files cannot be used; the former certificates stay in use.
        """
        if self._tls is not None and self._tls.reload():
            self.attached.end_all("the agents' CA was replaced")

    # Commands

    def offer(self, agent: AgentKey, job: Job, *, shared: bool) -> bool:  # noqa: ARG002
        """See `AgentLink`."""
        if (attached := self._streams.get(agent)) is not None:
            attached.stream.send(job)
        return False

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:
        """See `AgentLink`."""
        self._send(agent, Cancel(job_id))

    def ack(self, agent: AgentKey, ack: Ack, *, at_once: bool = False) -> None:
        """See `AgentLink`."""
        if (attached := self._streams.get(agent)) is not None:
            attached.stream.ack(ack, at_once=at_once)

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:
        """See `AgentLink`."""
        if (attached := self._streams.get(agent)) is not None:
            attached.stream.end(_CLOSINGS[closing], detail)

    def _send(self, agent: AgentKey, message: FromCoordinator) -> None:
        if (attached := self._streams.get(agent)) is not None:
            attached.stream.send(message)

    # Streams

    async def _attach(self, _requests: Any, context: "Context") -> None:
        """The gRPC method Attach: one agent's stream, from its Hello to its end."""
        end = await self._serve(context)
        self._log.debug("stream_ended", peer=context.peer(), code=end.code.name, detail=end.detail)
        if end.code is grpc.StatusCode.OK:
            return
        try:
            await context.abort(end.code, end.detail)
        except aio.InternalError:
            # It has not read the last message; keepalive pings end the connection.
            self._log.warning("agent_not_reading", peer=context.peer(), detail=end.detail)

    async def _serve(self, context: "Context") -> StreamClosedError:
        try:
            certificate = None
            if self._tls is not None:
                (shown,) = context.auth_context().get("x509_pem_cert", (b"",))
                certificate = certificate_of(shown)
            holder = certificate.holder if certificate else address_of(context.peer())
            first = await self._first(context, holder)
            hello = await identified(first, certificate, self._enrolled, renames=self._renames)
            origin = (holder, str(hello.colo), str(hello.agent_id))
            self._intake.admit(origin)
        except StreamClosedError as end:
            if end.code is grpc.StatusCode.UNAUTHENTICATED:
                self._log.warning(
                    "agent_authentication_failed", peer=context.peer(), detail=end.detail
                )
            return end
        if not self._shares.take(holder):
            detail = "too many agents of this certificate or address are attached"
            return StreamClosedError(grpc.StatusCode.RESOURCE_EXHAUSTED, detail)
        try:
            return await self._attached(context, hello, origin, certificate)
        finally:
            self._shares.release(holder)

    async def _first(self, context: "Context", holder: str) -> FromAgent | None:
        """The first message; None if it is a frame."""
        if self._stopping:
            raise StreamClosedError(grpc.StatusCode.UNAVAILABLE, "the coordinator is stopping")
        until = self._clock.now() + self._hello_s
        try:
            async with self._clock.timeout(self._hello_s) as scope:
                with self._waiting.enter(holder, scope):
                    payload = await read(context)
        except TimeoutError:
            if self._clock.now() < until:
                detail = "too many streams of this certificate or address wait for their Hello"
                raise StreamClosedError(grpc.StatusCode.UNAVAILABLE, detail) from None
            detail = f"no Hello within {self._hello_s:g} s"
            raise StreamClosedError(grpc.StatusCode.DEADLINE_EXCEEDED, detail) from None
        return self._intake.hello(holder, payload)

    async def _attached(
        self,
        context: "Context",
        hello: Hello,
        origin: Origin,
        certificate: AgentCertificate | None,
    ) -> StreamClosedError:
        key = AgentKey.of(hello)
        stream = AgentStream(
            read=partial(self._messages, context, key, origin),
            write=partial(self._write, context, origin),
            heartbeat_s=self._heartbeat_s,
            clock=self._clock,
            turns=self._turns,
            batches=hello.protocol_version >= BATCHES_SINCE,
        )
        # The new stream replaces the old one before it is reported, since offers may follow at
        # once.
        previous = self._streams.get(key)
        name = EnrolledName(hello.colo, hello.agent_id, hello.city)
        attached = Attached(stream, origin, certificate, name)
        self._streams[key] = attached
        former = self.attached.renamed_from(attached.identity, hello.boot_id)
        if former is not None:
            self._events.renamed(former, key)
        verdict = self._events.attached(hello, self)
        if isinstance(verdict, Rejected):
            del self._streams[key]
            if previous is not None:
                self._streams[key] = previous
            return StreamClosedError(_REJECTIONS[verdict.reason], verdict.detail)
        if previous is not None:
            previous.stream.end(grpc.StatusCode.ABORTED, "the same process has attached again")
        welcome = Welcome(
            coordinator_id=self._coordinator_id,
            heartbeat_ms=round(self._heartbeat_s * 1000),
            wanted_jobs=verdict.wanted_jobs,
            protocol_version=min(hello.protocol_version, PROTOCOL_VERSION),
        )
        return await stream.run(
            welcome,
            heard=lambda message: self._heard(key, stream, message),
            ended=lambda: self._ended(key, stream),
        )

    def _check_expiry(self) -> None:
        self.attached.end_expired()
        loop = asyncio.get_running_loop()
        self._expiry_check = loop.call_later(self._expiry_check_s, self._check_expiry)

    async def _messages(
        self, context: "Context", key: AgentKey, origin: Origin
    ) -> Iterator[FromAgent]:
        return self._intake.messages(
            origin,
            await read(context),
            due=partial(self._events.frame_due, key),
            # Have the agent delete the job.
            stray=lambda job_id: self._send(key, Cancel(job_id)),
        )

    async def _write(
        self, context: "Context", origin: Origin, messages: Sequence[FromCoordinator]
    ) -> None:
        offers = sum(isinstance(message, Job) for message in messages)
        if offers:
            self._intake.offered(origin, offers)
        await write(context, messages)

    def _heard(self, key: AgentKey, stream: AgentStream, message: FromAgent) -> None:
        present = self._streams.get(key)
        if present is None or present.stream is not stream:
            return  # the same process has attached again meanwhile
        if isinstance(message, Hello):
            raise StreamClosedError(grpc.StatusCode.INVALID_ARGUMENT, "a second Hello")
        self._events.heard(key, message)

    def _ended(self, key: AgentKey, stream: AgentStream) -> None:
        present = self._streams.get(key)
        if present is not None and present.stream is stream:
            del self._streams[key]
            revoked = self.attached.is_revoked(present.identity)
            renamed = stream.trouble == RENAMED
            self._events.detached(key, stream.trouble, revoked=revoked, renamed=renamed)
