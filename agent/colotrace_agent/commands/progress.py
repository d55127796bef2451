"""The progress of a long run, in a status line."""

import asyncio
import time
from collections.abc import Callable

_INTERVAL_S = 0.5


class Progress:
    """Shows the progress twice a second. `counted` returns the numbers of traces done, traces under
    way, and probes sent."""

    def __init__(
        self, counted: Callable[[], tuple[int, int, int]], show: Callable[[str], None]
    ) -> None:
        self._counted = counted
        self._display = show
        self._loop = asyncio.get_running_loop()
        self._last_sample = time.monotonic(), 0
        self._timer: asyncio.Handle = self._loop.call_soon(self._tick)

    def close(self) -> None:
        """Stop the updates."""
        self._timer.cancel()

    def _tick(self) -> None:
        done, under_way, sent = self._counted()
        now = time.monotonic()
        at, before = self._last_sample
        rate = (sent - before) / (now - at) if now > at else 0
        self._last_sample = now, sent
        self._display(f"{done:,} traced, {under_way:,} under way, {rate:,.0f} probes a second")
        self._timer = self._loop.call_later(_INTERVAL_S, self._tick)
