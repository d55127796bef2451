"""The gRPC server that agents attach to."""

import secrets
from typing import TYPE_CHECKING, Any

import grpc
from colotrace_proto.codec import ProtocolError, decode_from_agent, encode_from_coordinator
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
from colotrace_proto.v1 import fleet_pb2_grpc
from google.protobuf.message import DecodeError
from grpc import aio
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.fanout.agents import AgentKey
from colotrace_coordinator.links.base import Attendance, Closing, Rejected, Rejection

from .stream import AgentStream, StreamClosedError
from .tls import TlsError, TlsFiles, vouches

if TYPE_CHECKING:
    from colotrace_proto.v1 import fleet_pb2 as pb

    Context = aio.ServicerContext[pb.AgentMessage, pb.CoordinatorMessage]

__all__ = ["BindError", "DirectLink", "TlsError", "TlsFiles"]

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_STREAMS = 6_000
STOP_S = 2.0
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A host that has vanished is noticed by pings before its silence is.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Otherwise two coordinators would share the port, and each get half of the agents.
    ("grpc.so_reuseport", 0),
)
_REJECTIONS = {
    Rejection.SUPERSEDED: grpc.StatusCode.ALREADY_EXISTS,
    Rejection.FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Rejection.UNFIT: grpc.StatusCode.FAILED_PRECONDITION,
}
_CLOSINGS = {
    Closing.SUPERSEDED: grpc.StatusCode.ALREADY_EXISTS,
    Closing.RESYNC: grpc.StatusCode.INVALID_ARGUMENT,
}


_EOF: object = aio.EOF


class BindError(SetupError):
    """The address cannot be listened on, and why in words."""


class DirectLink(fleet_pb2_grpc.FleetServicer):
    """The link of agents that dial in themselves. `tls=None` serves in the clear."""

    def __init__(
        self,
        fleet: Attendance,
        *,
        host: str,
        port: int,
        tls: TlsFiles | None,
        log: FilteringBoundLogger,
        clock: RunningClock,
        heartbeat_s: float = 5.0,
        hello_s: float = 5.0,
    ) -> None:
        self._fleet = fleet
        self._host = host
        self._port = port
        self._tls = tls
        self._log = log
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._hello_s = hello_s
        self._coordinator_id = secrets.token_bytes(16)
        self._streams: dict[AgentKey, AgentStream] = {}
        self._server: aio.Server | None = None
        self._stopping = False

    async def start(self) -> int:
        """Listen; returns the port, which is drawn where 0 was asked for.

        Raises:
            BindError: the address cannot be listened on.
            TlsError: the certificates cannot be used.
        """
        credentials = self._tls.credentials() if self._tls is not None else None
        server = aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_STREAMS)
        fleet_pb2_grpc.add_FleetServicer_to_server(self, server)
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self._port}"
        try:
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise BindError(f"cannot listen for agents on {address}: {error}") from error
        await server.start()
        self._server = server
        self._log.info("agents_welcome", address=f"{host}:{port}", tls=credentials is not None)
        return port

    async def stop(self) -> None:
        """End every stream with UNAVAILABLE, so that agents come back to whoever is next."""
        self._stopping = True
        for stream in self._streams.values():
            stream.end(grpc.StatusCode.UNAVAILABLE, "the coordinator is stopping")
        if self._server is not None:
            await self._server.stop(STOP_S)
            self._server = None

    # Commands

    def offer(self, agent: AgentKey, job: Job, *, anyone: bool) -> bool:  # noqa: ARG002
        """See `Link`."""
        self._send(agent, job)
        return False

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:
        """See `Link`."""
        self._send(agent, Cancel(job_id))

    def ack(self, agent: AgentKey, ack: Ack, *, final: bool) -> None:
        """See `Link`."""
        stream = self._streams.get(agent)
        if stream is not None:
            stream.ack(ack, final=final)

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:
        """See `Link`."""
        stream = self._streams.get(agent)
        if stream is not None:
            stream.end(_CLOSINGS[closing], detail)

    def _send(self, agent: AgentKey, message: FromCoordinator) -> None:
        stream = self._streams.get(agent)
        if stream is not None:
            stream.send(message)

    # Streams

    # The name and the arguments are gRPC's. It also takes a coroutine that writes through the
    # context, of which the generated class does not know.
    async def Attach(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: Any,  # noqa: ARG002
        context: "Context",
    ) -> None:
        """One agent's stream, from its Hello to its end."""
        end = await self._serve(context)
        self._log.debug("stream_ended", peer=context.peer(), code=end.code.name, detail=end.detail)
        if end.code is grpc.StatusCode.OK:
            return
        try:
            await context.abort(end.code, end.detail)
        except aio.InternalError:
            # It has not read even the last message: its transport's pings decide.
            self._log.warning("agent_does_not_read", peer=context.peer(), detail=end.detail)

    async def _serve(self, context: "Context") -> StreamClosedError:
        try:
            hello = await self._hello(context)
        except StreamClosedError as end:
            return end
        key = AgentKey(hello.agent_id, hello.boot_id)
        stream = AgentStream(
            read=lambda: _read(context),
            write=lambda message: _write(context, message),
            heartbeat_s=self._heartbeat_s,
            clock=self._clock,
        )
        # The new stream stands in the old one's place before the fleet hears of it, since
        # offers may come at once.
        before = self._streams.get(key)
        self._streams[key] = stream
        verdict = self._fleet.attached(hello, self)
        if isinstance(verdict, Rejected):
            del self._streams[key]
            if before is not None:
                self._streams[key] = before
            return StreamClosedError(_REJECTIONS[verdict.reason], verdict.detail)
        if before is not None:
            before.end(grpc.StatusCode.ABORTED, "the same process has attached again")
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

    async def _hello(self, context: "Context") -> Hello:
        if self._stopping:
            raise StreamClosedError(grpc.StatusCode.UNAVAILABLE, "the coordinator is stopping")
        try:
            async with self._clock.timeout(self._hello_s):
                hello = await _read(context)
        except TimeoutError:
            detail = f"no Hello within {self._hello_s:g} s"
            raise StreamClosedError(grpc.StatusCode.DEADLINE_EXCEEDED, detail) from None
        if not isinstance(hello, Hello):
            raise StreamClosedError(
                grpc.StatusCode.FAILED_PRECONDITION, "the first message is not Hello"
            )
        if self._tls is not None and not vouches(_certified_names(context), hello):
            detail = f"the certificate does not name the colo {hello.colo}"
            self._log.warning(
                "agent_not_authentic", agent=hello.agent_id, colo=hello.colo, peer=context.peer()
            )
            raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, detail)
        return hello

    def _heard(self, key: AgentKey, stream: AgentStream, message: FromAgent) -> None:
        if self._streams.get(key) is not stream:
            return  # the same process has attached again meanwhile
        if isinstance(message, Hello):
            raise StreamClosedError(grpc.StatusCode.INVALID_ARGUMENT, "a second Hello")
        self._fleet.heard(key, message)

    def _ended(self, key: AgentKey, stream: AgentStream) -> None:
        if self._streams.get(key) is stream:
            del self._streams[key]
            self._fleet.detached(key)


async def _write(context: "Context", message: FromCoordinator) -> None:
    """Send a message, as soon as the transport takes it.

    Raises:
        StreamClosedError: the stream has ended meanwhile.
    """
    try:
        await context.write(encode_from_coordinator(message))
    except (aio.InternalError, aio.UsageError) as error:
        raise StreamClosedError(grpc.StatusCode.UNAVAILABLE, str(error)) from error


async def _read(context: "Context") -> FromAgent | None:
    """The agent's next message; None for one that is not known here.

    Raises:
        StreamClosedError: the agent has ended its side, or sent what the protocol forbids.
    """
    try:
        message = await context.read()
        if message is _EOF:
            raise StreamClosedError(grpc.StatusCode.OK, "")
        return decode_from_agent(message)
    except (ProtocolError, DecodeError) as error:
        raise StreamClosedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _certified_names(context: "Context") -> list[str]:
    """What the agent's certificate says it is: common name and alternative names."""
    said = context.auth_context()
    return [
        name.decode(errors="replace")
        for key in ("x509_common_name", "x509_subject_alternative_name")
        for name in said.get(key, ())
    ]
