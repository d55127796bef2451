"""Wait for what another task, thread or process makes true.

For conditions that come about by themselves. To see that something does not happen, wait for an
event that comes after it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

_POLL_S = 0.01, 0.1
_OF_WAIT = 0.05


def _pause_s(began: float) -> float:
    """Until the next look. A condition often costs a request, so that the looks get rarer: no
    pause is longer than a twentieth of the wait so far, within bounds."""
    shortest, longest = _POLL_S
    return min(max((time.monotonic() - began) * _OF_WAIT, shortest), longest)


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 20.0) -> None:
    """Wait while other tasks run. Raises TimeoutError."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(_pause_s(began))


def wait_until(
    condition: Callable[[], bool],
    *,
    within_s: float = 20.0,
    error: Callable[[], Exception] = TimeoutError,
) -> None:
    """Wait for other threads or processes. Raises `error` at the timeout."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() > began + within_s:
            raise error()
        time.sleep(_pause_s(began))
