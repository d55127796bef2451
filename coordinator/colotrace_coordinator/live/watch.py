"""Wakes everybody who follows a feed: merged to a few times a second, and in short turns.

All readers of a feed wake at the same ticks. So they are at the same position, and a piece of
events is joined once for all. The first event after a silence makes a tick in the same turn of the
loop, later ones wait until `every_s` after it.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .feed import Feed

EVERY_S = 0.1
"""The shortest time between two ticks."""
SILENT_S = 15.0
"""Without an event, a tick comes after this time: readers show that they are alive."""
AT_ONCE = 16
"""Readers that wake in one turn of the loop: 0.4 ms of work, and 4 ms when their streams end."""


class Reader:
    """Somebody who follows a feed. Use it in one task."""

    def __init__(self, watch: "Watch") -> None:
        self.ended = False
        """It is to read no more, since its client has gone or the watch has been stopped."""
        self._watch = watch
        self._missed = 0
        self._tick = watch.tick
        self._waiter: asyncio.Future[None] | None = None

    @property
    def missed(self) -> int:
        """Ticks that came while it was busy: it reads more slowly than events come. 0 again after
        it has waited for a tick."""
        return self._missed + self._watch.tick - self._tick

    async def wait(self) -> None:
        """Return at the next tick, at once if there was one since the last call, or when the reader
        has ended."""
        self._missed = self._watch.tick - self._tick
        if not self._missed and not self.ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._tick = self._watch.tick

    def wake(self) -> None:
        """Let `wait` return."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """Read no more."""
        self.ended = True
        self.wake()


class Watch:
    """The readers of one feed. Build it inside a running event loop."""

    def __init__(self, feed: Feed, *, every_s: float = EVERY_S, silent_s: float = SILENT_S) -> None:
        self.feed = feed
        self.tick = 0
        """Ticks so far."""
        self._every_s = every_s
        self._silent_s = silent_s
        self._loop = asyncio.get_running_loop()
        self._readers: dict[Reader, None] = {}
        self._unlisten: Callable[[], None] | None = None
        self._ticked_at = -math.inf
        self._due: asyncio.Handle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._waking: asyncio.Handle | None = None
        # Readers that this tick has not woken yet.
        self._asleep: list[Reader] = []

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """A new reader."""
        reader = Reader(self)
        if not self._readers:
            self._unlisten = self.feed.listen(self._changed)
            self._silence = self._loop.call_later(self._silent_s, self._silent)
        self._readers[reader] = None
        try:
            yield reader
        finally:
            del self._readers[reader]
            if not self._readers:
                self._close()

    def stop(self) -> None:
        """End all readers."""
        for reader in tuple(self._readers):
            reader.end()

    def _changed(self) -> None:
        if self._due is not None:
            return
        wait_s = self._ticked_at + self._every_s - self._loop.time()
        if wait_s > 0:
            self._due = self._loop.call_later(wait_s, self._tick_now)
        else:  # with the other events of this turn of the loop
            self._due = self._loop.call_soon(self._tick_now)

    def _tick_now(self) -> None:
        self._due = None
        self._ticked_at = self._loop.time()
        self.tick += 1
        self._asleep = list(self._readers)
        if self._waking is None:
            self._wake()

    def _wake(self) -> None:
        self._waking = None
        several, self._asleep = self._asleep[:AT_ONCE], self._asleep[AT_ONCE:]
        for reader in several:
            reader.wake()
        if self._asleep:
            self._waking = self._loop.call_soon(self._wake)

    def _silent(self) -> None:
        left_s = self._ticked_at + self._silent_s - self._loop.time()
        if left_s <= 0:
            self._tick_now()
            left_s = self._silent_s
        self._silence = self._loop.call_later(left_s, self._silent)

    def _close(self) -> None:
        if self._unlisten is not None:
            self._unlisten()
        for handle in (self._due, self._silence, self._waking):
            if handle is not None:
                handle.cancel()
        self._due = self._silence = self._waking = None
        self._asleep = []
