"""One measurement: while it runs, its caller is watched, and so is the clock."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from colotrace_proto.running import TimeLimit
from starlette.requests import ClientDisconnect, Request

from colotrace_coordinator.model import Answer, Tracer, TraceRequest

from .errors import LateAnswerError, OverloadedError


class Admission:
    """How many measurements run at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """For the time of one measurement.

        Raises:
            OverloadedError: as many as may be are running.
        """
        if self._running >= self._most:
            raise OverloadedError
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def measure(
    tracer: Tracer,
    asked: TraceRequest,
    *,
    request: Request,
    within_s: float,
    limit: TimeLimit = asyncio.timeout,
) -> Answer:
    """The answer; cancelled, with all its jobs, as soon as the client goes away.

    Raises:
        ClientDisconnect: the client went away.
        LateAnswerError: the tracer did not answer `within_s`, by the clock of `limit`.
    """
    trace = asyncio.create_task(tracer.trace(asked), name="trace")
    gone = asyncio.create_task(_gone(request), name="client-watch")
    try:
        async with limit(within_s):
            await asyncio.wait({trace, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not trace.done():
            raise ClientDisconnect
        return trace.result()
    except TimeoutError:
        if trace.done():  # a timeout of the tracer's own
            raise
        raise LateAnswerError from None
    finally:
        trace.cancel()
        gone.cancel()
        # The answer does not wait for a tracer that is slow to give up, beyond a moment.
        await asyncio.wait({trace, gone}, timeout=1.0)


async def _gone(request: Request) -> None:
    """Return when the client has gone away; the body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
