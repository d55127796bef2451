"""Counts in fixed windows of five minutes, which several coordinators can keep together.

A window starts with the key's first count. If two coordinators start the window of a key at about
the same time, the end of the earlier one holds for both.
"""

import heapq
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator

from colotrace_coordinator.api.errors import RateLimitedError
from colotrace_coordinator.api.quota import WINDOW_S, Quota
from colotrace_coordinator.peers.counts import Count

TOLD = 2_000
"""Most keys in the report to a coordinator that starts: those with the highest counts."""
_OVER_SOON_S = 1.0
"""A report of a window that ends this soon is ignored: here the next window may have begun."""


class Windows:
    """Counts at most `limit` for each key. Implements `peers.counts.Counts`."""

    def __init__(
        self, limit: int, *, most: int, clock: Callable[[], float], shared: bool = False
    ) -> None:
        """`most` keys are counted separately, and all further ones together. `clock` is monotonic,
        in seconds. With `shared`, what is counted is kept for `changes`."""
        self._limit = limit
        self._most = most
        self._clock = clock
        # The end of each key's window and its count, nearly in the order of the ends.
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._others = (0.0, 0)
        self._shared = shared
        self._unreported: Counter[str] = Counter()

    def hit(self, key: str) -> Quota:
        """Count one.

        Raises:
            RateLimitedError: none is left.
        """
        until, used = self.count(key)
        reset_s = min(max(math.ceil(until - self._clock()), 1), WINDOW_S)
        quota = Quota(self._limit, max(self._limit - used, 0), reset_s)
        if used > self._limit:
            raise RateLimitedError(quota)
        return quota

    def left(self, key: str) -> int:
        """How many are left."""
        _, used = self._counted(key)
        return max(self._limit - used, 0)

    def count(self, key: str) -> tuple[float, int]:
        """Count one. Returns the end of the window, and the count, which is at most one above the
        limit."""
        until, used = self._counted(key)
        counted = until, min(used + 1, self._limit + 1)
        if self._shared and counted[1] > used:
            self._unreported[key] += 1
        self._put(key, counted)
        return counted

    # Counts of all coordinators

    key_parts = 1

    def changes(self, now: float) -> Iterator[Count]:  # noqa: ARG002 - the windows have a clock
        """See `Counts`."""
        unreported, self._unreported = self._unreported, Counter()
        for key, number in unreported.items():
            until, used = self._counted(key)
            if used:
                yield Count((key,), number, max(until - self._clock(), 0.0))

    def everything(self) -> Iterator[Count]:
        """See `Counts`: the `TOLD` keys with the highest counts."""
        now = self._clock()
        open_ = ((used, until, key) for key, (until, used) in self._counts.items() if until > now)
        for used, until, key in heapq.nlargest(TOLD, open_):
            yield Count((key,), used, until - now)

    def heard(self, origin: str, count: Count, now: float, *, whole: bool) -> None:  # noqa: ARG002
        """See `Counts`."""
        if count.left_s < _OVER_SOON_S or count.number < 0:
            return
        (key, *_), number = count.key, count.number
        until, used = self._counted(key)
        used = max(used, number) if whole else used + number
        until = min(until, self._clock() + count.left_s)
        self._put(key, (until, min(used, self._limit + 1)))

    def gone(self, origin: str) -> None:
        """See `Counts`: what a coordinator has counted stays counted."""

    def _put(self, key: str, counted: tuple[float, int]) -> None:
        if key in self._counts or len(self._counts) < self._most or self._forget():
            self._counts[key] = counted
        else:
            self._others = counted

    def _counted(self, key: str) -> tuple[float, int]:
        now = self._clock()
        fresh = now + WINDOW_S, 0
        counted = self._counts.get(key)
        if counted is not None:
            if counted[0] > now:
                return counted
            del self._counts[key]
        if len(self._counts) < self._most or self._forget():
            return fresh
        return self._others if self._others[0] > now else fresh

    def _forget(self) -> bool:
        """Delete the oldest window if it has ended; whether it has."""
        key, (until, _) = next(iter(self._counts.items()))
        if until > self._clock():
            return False
        del self._counts[key]
        return True
