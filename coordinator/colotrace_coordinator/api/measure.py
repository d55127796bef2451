"""One measurement, bounded by its deadline and cancelled when its client disconnects."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from colotrace_proto.running import TimeLimit
from starlette.requests import ClientDisconnect, Request

from colotrace_coordinator.model import LATE, Answer, Tracer, TraceRequest
from colotrace_coordinator.shares import Shares

from .errors import LateAnswerError, OverloadedError, TooManyMeasurementsError

FREE_TIMES_CALLER, FREE_TIMES_ACCOUNT = 4, 8
"""How many times the free places a caller and an account may hold: 80 and 89 % of all if nobody
else measures."""


class Admission:
    """The bound on concurrent measurements, and the shares of accounts and callers in it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._accounts: Shares[str] = Shares(most, most, free_times=FREE_TIMES_ACCOUNT)
        self._callers: Shares[tuple[str, str]] = Shares(most, most, free_times=FREE_TIMES_CALLER)

    @contextmanager
    def enter(self, account: str, caller: str) -> Iterator[None]:
        """Take a place for the duration of one measurement. `caller` is the credential.

        Raises:
            OverloadedError: the maximum is running.
            TooManyMeasurementsError: the account or the caller has its share.
        """
        if len(self._accounts) >= self._most:
            raise OverloadedError
        if not self._accounts.take(account):
            raise TooManyMeasurementsError
        if not self._callers.take((account, caller)):
            self._accounts.release(account)
            raise TooManyMeasurementsError
        try:
            yield
        finally:
            self._accounts.release(account)
            self._callers.release((account, caller))


async def measure(
    tracer: Tracer,
    asked: TraceRequest,
    *,
    request: Request,
    within_s: float,
    limit: TimeLimit = asyncio.timeout,
) -> Answer:
    """Measure; the measurement and all its jobs are cancelled when the client disconnects.

    Raises:
        ClientDisconnect: the client disconnected.
        LateAnswerError: the tracer did not answer within `within_s`, by the clock of `limit`.
    """
    trace = asyncio.create_task(tracer.trace(asked), name="trace")
    gone = asyncio.create_task(_gone(request), name="client-watch")
    why = None
    try:
        async with limit(within_s):
            await asyncio.wait({trace, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not trace.done():
            raise ClientDisconnect
        return trace.result()
    except TimeoutError:
        if trace.done():  # a timeout of the tracer's own
            raise
        why = LATE
        raise LateAnswerError from None
    finally:
        trace.cancel(why)
        gone.cancel()
        # The answer waits at most 1 s for a tracer that is slow to cancel.
        await asyncio.wait({trace, gone}, timeout=1.0)


async def _gone(request: Request) -> None:
    """Return when the client has disconnected. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
