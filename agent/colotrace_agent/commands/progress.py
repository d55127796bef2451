"""The progress of a long run, in a status line."""

import asyncio
import time
from collections.abc import Callable

_EACH_S = 0.5


class Progress:
    """Shows what `counted` says, twice a second: traces done and under way, probes sent."""

    def __init__(
        self, counted: Callable[[], tuple[int, int, int]], show: Callable[[str], None]
    ) -> None:
        self._counted = counted
        self._display = show
        self._loop = asyncio.get_running_loop()
        self._before = time.monotonic(), 0
        self._timer: asyncio.Handle = self._loop.call_soon(self._show)

    def close(self) -> None:
        """Show nothing more."""
        self._timer.cancel()

    def _show(self) -> None:
        done, under_way, sent = self._counted()
        now = time.monotonic()
        at, before = self._before
        rate = (sent - before) / (now - at) if now > at else 0
        self._before = now, sent
        self._display(f"{done:,} traced, {under_way:,} under way, {rate:,.0f} probes a second")
        self._timer = self._loop.call_later(_EACH_S, self._show)
