"""Tries whether a coordinator answers and knows this agent, on the same way as a stream, without
attaching."""

import asyncio
import time
from typing import NamedTuple

import grpc
from colotrace_proto import codec
from colotrace_proto.messages import Heartbeat
from colotrace_proto.running import RunningClock
from colotrace_proto.v1.fleet_pb2_grpc import FleetStub

from colotrace_agent.errors import AgentError

from .channel import Dialer, link_resolver
from .tls import Tls

_METHOD = "/colotrace.v1.Fleet/Nothing"
"""There is no such method, and the answer says so."""
_OPEN_S, _ANSWER_S = 6.0, 4.0
_PADDING = ("x-padding", "0123456789abcdef" * 320)
"""So that a call takes several full packets."""


class UnansweredError(AgentError):
    """The coordinator did not answer a call in time."""


class LargeUnansweredError(AgentError):
    """The coordinator answers small calls, and not large ones."""


class Trial(NamedTuple):
    """How many seconds a small call took and one of several packets, and why this agent could not
    attach: "" if it could."""

    small_s: float
    large_s: float
    refusal: str


def try_calls(coordinator: str, *, tls: Tls | None) -> Trial:
    """Make a small call, one of several packets, and a stream that ends before it attaches.

    Raises:
        AgentError: the coordinator cannot be reached, or one of the certificates is not accepted.
        OSError: the coordinator cannot be reached.
        UnansweredError: the connection is made, and no call is answered.
        LargeUnansweredError: only the small one is.
    """
    return asyncio.run(_try(coordinator, tls))


async def _try(coordinator: str, tls: Tls | None) -> Trial:
    clock, resolver = RunningClock(), link_resolver()
    try:
        dialer = Dialer(coordinator, tls=tls, clock=clock, resolver=resolver)
        async with await dialer.open(within_s=_OPEN_S) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
            small_s = await _answered(call, ())
            try:
                large_s = await _answered(call, (_PADDING,))
            except (OSError, UnansweredError) as error:
                raise LargeUnansweredError(str(error)) from error
            return Trial(small_s, large_s, await _refusal(channel))
    finally:
        await resolver.close()
        clock.close()


async def _answered(
    call: "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]", metadata: tuple[tuple[str, str], ...]
) -> float:
    began = time.monotonic()
    try:
        await call(b"", timeout=_ANSWER_S, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise UnansweredError(f"no answer within {_ANSWER_S:g} s") from error
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise OSError(f"{error.code().name}: {error.details()}") from error
    return time.monotonic() - began


async def _refusal(channel: grpc.aio.Channel) -> str:
    """Why the coordinator refuses the certificate; it does so before it refuses a stream that
    begins with another message than Hello."""
    stream = FleetStub(channel).Attach(timeout=_ANSWER_S)
    try:
        await stream.write(codec.encode_from_agent(Heartbeat()))
        await stream.read()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass  # it has ended
    refused = await stream.code() is grpc.StatusCode.UNAUTHENTICATED
    return await stream.details() if refused else ""
