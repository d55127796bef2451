"""Streams that have not sent Hello yet, bounded by evicting the oldest.

A silent stream costs memory until its timeout. A peer that opens thousands of them must not keep
out agents, which send Hello at once. So a new stream is always accepted, and beyond the bound of
its holder that holder's oldest stream is evicted. Beyond the bound in all, the oldest stream of the
holder with the most streams is evicted.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

MAX_WAITING = 4_096
MAX_OF_ONE = 256
"""Bounds on waiting streams: in all, and of one holder."""


class Waiting:
    """The waiting streams by holder, oldest first."""

    def __init__(self, *, most: int = MAX_WAITING, most_of_one: int = MAX_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._total = 0
        self._of: dict[str, OrderedDict[int, asyncio.Timeout]] = {}
        self._number = 0

    def __len__(self) -> int:
        return self._total

    @contextmanager
    def enter(self, holder: str, scope: asyncio.Timeout) -> Iterator[None]:
        """The stream waits inside of this context. `scope` is its timeout; eviction lets it expire
        at once."""
        self._number += 1
        number = self._number
        if len(self._of.get(holder, ())) >= self._most_of_one:
            self._end_oldest(holder)
        elif self._total >= self._most:
            self._end_oldest(max(self._of, key=lambda each: len(self._of[each])))
        self._of.setdefault(holder, OrderedDict())[number] = scope
        self._total += 1
        try:
            yield
        finally:
            self._leave(holder, number)

    def _end_oldest(self, holder: str) -> None:
        number, scope = next(iter(self._of[holder].items()))
        self._leave(holder, number)
        if not scope.expired():  # else it has just timed out
            scope.reschedule(asyncio.get_running_loop().time())

    def _leave(self, holder: str, number: int) -> None:
        waiting = self._of.get(holder)
        if waiting is None or waiting.pop(number, None) is None:
            return
        self._total -= 1
        if not waiting:
            del self._of[holder]
