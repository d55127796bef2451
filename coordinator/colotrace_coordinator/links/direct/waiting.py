"""Streams that have not said Hello yet: few of each holder, and the oldest gives way.

A stream that says nothing costs memory until its time is up. Whoever opens thousands of them must
not keep out an agent, which says Hello at once: so a new one is always let in, and the oldest of
the same holder ends. Beyond the bound on all, the oldest of the holder that has most ends.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

MAX_WAITING = 4_096
MAX_OF_ONE = 256


class Waiting:
    """By holder, in the order in which they came."""

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
        """While a stream waits; `scope` is the timeout of its waiting, which ends at once where it
        has to give way."""
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
        if not scope.expired():  # else its own time has just run out
            scope.reschedule(asyncio.get_running_loop().time())

    def _leave(self, holder: str, number: int) -> None:
        waiting = self._of.get(holder)
        if waiting is None or waiting.pop(number, None) is None:
            return
        self._total -= 1
        if not waiting:
            del self._of[holder]
