"""A coordinator over real gRPC that does what a test's script says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
from colotrace_proto import codec
from colotrace_proto.messages import Ack, FromAgent, FromCoordinator, Welcome
from colotrace_proto.v1 import fleet_pb2_grpc

COORDINATOR = b"a" * 16


class Call:
    """One stream, as the scripted coordinator holds it."""

    def __init__(self, context: grpc.aio.ServicerContext) -> None:  # type: ignore[type-arg]
        self.context = context

    async def hear(self) -> FromAgent | None:
        """The agent's next message."""
        return codec.decode_from_agent(await self.context.read())

    async def say(self, message: FromCoordinator) -> None:
        """A message down."""
        await self.context.write(codec.encode_from_coordinator(message))

    async def welcome(self, *wanted: Ack) -> None:
        """Take the Hello and answer it."""
        await self.hear()
        await self.say(Welcome(COORDINATOR, 5_000, wanted))

    async def abort(self, code: grpc.StatusCode) -> None:
        """End the stream."""
        await self.context.abort(code, "so the test says")


Script = Callable[[Call], Awaitable[None]]


class Scripted(fleet_pb2_grpc.FleetServicer):
    """Does for each stream what the script says."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def Attach(self, _requests, context):  # type: ignore[no-untyped-def]  # noqa: N802
        await self._script(Call(context))


@asynccontextmanager
async def coordinator(
    script: Script, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[str]:
    """Where it listens; with credentials, by TLS."""
    server = grpc.aio.server()
    fleet_pb2_grpc.add_FleetServicer_to_server(Scripted(script), server)
    where = "127.0.0.1:0"
    if credentials is None:
        port = server.add_insecure_port(where)
    else:
        port = server.add_secure_port(where, credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
