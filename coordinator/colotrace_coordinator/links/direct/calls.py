"""gRPC's server, and the messages of one call."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc
from colotrace_proto.codec import encode_together
from colotrace_proto.messages import FromCoordinator
from colotrace_proto.v1 import fleet_pb2 as pb
from grpc import aio

from colotrace_coordinator.errors import ListenError

from .options import OPTIONS
from .stream import StreamClosedError

if TYPE_CHECKING:
    Context = aio.ServicerContext[bytes, pb.CoordinatorMessage]


def bound(
    attach: Callable[[Any, "Context"], Awaitable[None]],
    *,
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None,
) -> tuple[aio.Server, int, str]:
    """A server that is not started yet, its port, and where it listens as text. Its method Attach
    is `attach`.

    Raises:
        ListenError: the address cannot be listened on.
    """
    server = aio.server(options=OPTIONS)
    # Messages arrive as bytes, and `intake` decodes them.
    handler: Any = grpc.stream_stream_rpc_method_handler(
        attach,
        response_serializer=pb.CoordinatorMessage.SerializeToString,
    )
    service = pb.DESCRIPTOR.services_by_name["Fleet"].full_name
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"Attach": handler}),)
    )
    host = f"[{host}]" if ":" in host else host
    address = f"{host}:{port}"
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ListenError(f"cannot listen for agents on {address}: {error}") from error
    return server, port, f"{host}:{port}"


async def write(context: "Context", messages: Sequence[FromCoordinator]) -> None:
    """Send messages as one as soon as the transport takes it.

    Raises:
        StreamClosedError: the stream has ended meanwhile.
    """
    try:
        await context.write(encode_together(messages))
    except (aio.InternalError, aio.UsageError) as error:
        raise StreamClosedError(grpc.StatusCode.UNAVAILABLE, str(error)) from error


async def read(context: "Context") -> bytes:
    """The agent's next message.

    Raises:
        StreamClosedError: the agent has closed its side.
    """
    message: object = await context.read()
    if not isinstance(message, bytes):
        raise StreamClosedError(grpc.StatusCode.OK, "")
    return message
