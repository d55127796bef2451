"""Rate limit for reports that the agent's address families have changed.

A flapping interface must not cause a flood of messages: changes are coalesced for `SETTLE_S` and
reported at most once an interval, which doubles while changes go on.
"""

import asyncio
from collections.abc import Callable

from colotrace_proto.messages import Family

SETTLE_S = 0.1
"""Several addresses usually change together."""
SHORTEST_S, LONGEST_S = 1.0, 30.0

Families = frozenset[Family]


class FamilyNews:
    """Calls `tell` with the current families if they differ from those reported last."""

    def __init__(
        self,
        told: Families,
        current: Callable[[], Families],
        tell: Callable[[Families], None],
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._current = current
        self._tell = tell
        self._loop = loop
        self._told = told
        self._told_at = loop.time() - LONGEST_S
        self._interval_s = SHORTEST_S
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """The families may have changed."""
        if self._timer is None:
            at = max(self._loop.time() + SETTLE_S, self._told_at + self._interval_s)
            self._timer = self._loop.call_at(at, self._look)

    def close(self) -> None:
        """Report nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        families = self._current()
        if families == self._told:
            return
        now = self._loop.time()
        again = now - self._told_at < 2 * self._interval_s
        self._interval_s = min(2 * self._interval_s, LONGEST_S) if again else SHORTEST_S
        self._told, self._told_at = families, now
        self._tell(families)
