"""The status with which a gRPC call to the coordinator ends."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

from colotrace_agent.errors import AgentError

T = TypeVar("T")


class StreamEndedError(AgentError):
    """The stream, or the attempt to open it, has ended with this status."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code


class CallStatus:
    """The status of one call, recorded at the moment when it arrives.

    A write that is under way then fails a moment later, and gRPC replaces the true status by
    "Internal error from Core".
    """

    def __init__(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        self._status: tuple[grpc.StatusCode, str] | None = None
        call.add_done_callback(self._arrived)

    def error(self, seen: grpc.aio.AioRpcError) -> StreamEndedError:
        """The error for a call that has failed with `seen`."""
        return StreamEndedError(*(self._status or (seen.code(), seen.details() or "")))

    def _arrived(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        self._status = _result(call.code()), _result(call.details()) or ""


def _result(known: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that does not wait."""
    try:
        known.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    known.close()
    raise RuntimeError("the coroutine waits")
