"""Keeps the turns of the event loop short: work that can wait shares a slice of each turn.

Whatever arrives waits until the loop's turn is over. Thousands of rows may be due in one turn; with
this, a part of them is worked off in each turn, and a small request has its turn in between.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

SLICE_S, LONG_SLICE_S = 0.001, 0.004
"""How long such work runs in one turn, and how long while only small requests run: each turn has a
cost of its own. The last step of a slice may take it beyond."""


class Turns:
    """The work that waits, served in turn.

    Work is an iterator whose steps are short: a slice ends between two steps. An exception of a
    step ends the work.
    """

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` is in seconds."""
        self._clock = clock
        # Entries without steps are those of `pause`: the task that awaits the future does the work.
        self._waiting: deque[tuple[Iterator[object] | None, asyncio.Future[None]]] = deque()
        self._next: asyncio.Handle | None = None
        self._until = 0.0
        self._slice_s = LONG_SLICE_S
        # `_lend`: a caller of `pause` was woken, and has the next turn's slice. `_lent`: it has
        # this turn's.
        self._lend = self._lent = False

    def __len__(self) -> int:
        """Pieces of work that wait. May be called from another thread."""
        return len(self._waiting)

    def share(self, *, large: bool) -> None:
        """Set how slices are: short while large requests run."""
        self._slice_s = SLICE_S if large else LONG_SLICE_S

    def soon(self, work: Iterable[object]) -> asyncio.Future[None]:
        """Run all steps from the next turn on; returns a future that ends with them."""
        return self._enqueue(iter(work))

    def each(self, items: Sequence[T], action: Callable[[T], object]) -> None:
        """Call the action with each item, from the next turn on. An exception is passed to the
        loop's handler of exceptions; it does not keep the other items from their turn."""
        self.soon(self._each(items, action))

    def _each(self, items: Sequence[T], action: Callable[[T], object]) -> Iterator[None]:
        for item in items:
            try:
                action(item)
            except Exception as error:  # noqa: BLE001 - told by the loop's handler
                message = f"{action} failed"
                asyncio.get_running_loop().call_exception_handler(
                    {"message": message, "exception": error}
                )
            yield

    async def run(self, work: Iterable[object]) -> None:
        """Run all steps; at once if nothing waits and this turn's slice has room for them."""
        steps = iter(work)
        if self._waiting or not self._run(steps):
            await self._enqueue(steps)

    async def pause(self) -> None:
        """Let others have their turn between two short pieces of the caller's work. Returns at once
        while this turn's slice lasts and nothing else waits."""
        if (self._waiting and not self._lent) or not self._run(()):
            await self._enqueue(None)

    def _enqueue(self, steps: Iterator[object] | None) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((steps, done))
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._turn)
        return done

    def _run(self, steps: Iterable[object]) -> bool:
        """Run steps in this turn's slice; returns whether all have been run."""
        self._open()
        if self._clock() >= self._until:
            return False
        return all(self._clock() < self._until for _ in steps)

    def _open(self) -> None:
        """Begin this turn's slice, unless it has begun."""
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._turn)
            self._until = self._clock() + self._slice_s

    def _turn(self) -> None:
        """A new turn of the loop: serve what waits."""
        self._next = None
        self._lend, self._lent = False, self._lend
        if self._lent:
            self._open()
            return
        while self._waiting:
            self._open()
            if self._clock() >= self._until:
                return
            steps, done = self._waiting.popleft()
            if done.done():  # cancelled
                continue
            if steps is None:
                self._lend = True
                done.set_result(None)
                return
            try:
                ended = self._run(steps)
            except Exception as error:  # noqa: BLE001 - raised where the future is awaited
                done.set_exception(error)
                continue
            if ended:
                done.set_result(None)
            else:
                self._waiting.append((steps, done))
