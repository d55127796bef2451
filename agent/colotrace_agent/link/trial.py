"""Tries whether a coordinator answers, on the same way as a stream, without attaching."""

import asyncio
import time

import grpc
from colotrace_proto.running import RunningClock

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


def try_calls(coordinator: str, *, tls: Tls | None) -> tuple[float, float]:
    """Make a small call, and then one of several packets. Returns how many seconds each took.

    Raises:
        AgentError: the coordinator cannot be reached, or one of the certificates is not accepted.
        OSError: the coordinator cannot be reached.
        UnansweredError: the connection is made, and no call is answered.
        LargeUnansweredError: only the small one is.
    """
    return asyncio.run(_try(coordinator, tls))


async def _try(coordinator: str, tls: Tls | None) -> tuple[float, float]:
    clock, resolver = RunningClock(), link_resolver()
    try:
        dialer = Dialer(coordinator, tls=tls, clock=clock, resolver=resolver)
        async with await dialer.open(within_s=_OPEN_S) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
            small_s = await _answered(call, ())
            try:
                return small_s, await _answered(call, (_PADDING,))
            except (OSError, UnansweredError) as error:
                raise LargeUnansweredError(str(error)) from error
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
