"""Wait for what another task, thread or process makes true.

For conditions that come about by themselves. To see that something does not happen, wait for an
event that comes after it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

_POLL_S = 0.01


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 5.0) -> None:
    """Wait while other tasks run. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(_POLL_S)


def wait_until(
    condition: Callable[[], bool],
    *,
    within_s: float = 5.0,
    error: Callable[[], Exception] = TimeoutError,
) -> None:
    """Wait for other threads or processes. Raises `error` at the timeout."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise error()
        time.sleep(_POLL_S)
