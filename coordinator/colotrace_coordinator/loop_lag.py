"""How late the event loop is: everything that the coordinator does waits at least this long."""

import asyncio
import time

from prometheus_client import Histogram

EVERY_S = 0.05
"""Interval of the samples. A hold-up of this length or more is always seen."""


async def sample(lag: Histogram, *, every_s: float = EVERY_S) -> None:
    """Observe, in seconds, how late a timer fires. Samples until cancelled."""
    while True:
        # Not the loop's clock: uvloop's has a resolution of 1 ms, and stands still in a callback.
        due = time.monotonic() + every_s
        await asyncio.sleep(every_s)
        lag.observe(max(time.monotonic() - due, 0.0))
