"""How far a long run has come, in a line at the foot of a terminal."""

import asyncio
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

_EACH_S = 0.5


class Progress:
    """Shows, on standard error, what `counted` says: traces done and under way, probes sent."""

    def __init__(self, counted: Callable[[], tuple[int, int, int]]) -> None:
        self._counted = counted
        self._loop = asyncio.get_running_loop()
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._live.start()
        self._before = time.monotonic(), 0
        self._timer: asyncio.Handle = self._loop.call_soon(self._show)

    def close(self) -> None:
        """Takes the line away."""
        self._timer.cancel()
        self._live.stop()

    def _show(self) -> None:
        done, under_way, sent = self._counted()
        now = time.monotonic()
        at, before = self._before
        rate = (sent - before) / (now - at) if now > at else 0
        self._before = now, sent
        words = f"{done:,} traced, {under_way:,} under way, {rate:,.0f} probes a second"
        self._live.update(words, refresh=True)
        self._timer = self._loop.call_later(_EACH_S, self._show)
