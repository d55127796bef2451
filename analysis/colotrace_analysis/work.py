"""A computation in short steps, so that an event loop has its turns in between.

work = graph.work(measured)
await turns.run(work)       # or, where nothing else waits: work.finish()
work.result
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from heapq import merge
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")

STEP_LINES = 1_000
"""Replies that are worked on in one step: 1 to 2 ms, unless one hop of a flow has more."""

ROW_LINES = 20
"""A row takes as long as so many replies, even without any."""

Steps = Generator[None, None, Result]
"""What the modules write: yields between two steps, and returns the result."""


class Pace:
    """Tells when a step has done enough: `if pace.full(replies): yield`."""

    def __init__(self) -> None:
        self._done = 0

    def full(self, replies: int) -> bool:
        """Count replies; whether the step should end."""
        self._done += replies
        if self._done < STEP_LINES:
            return False
        self._done = 0
        return True


def in_order(items: Sequence[Item], key: Callable[[Item], Any]) -> Steps[list[Item]]:
    """`sorted` in steps."""
    pieces: list[list[Item]] = []
    for start in range(0, len(items), STEP_LINES):
        pieces.append(sorted(items[start : start + STEP_LINES], key=key))
        yield
    if len(pieces) < 2:
        return pieces[0] if pieces else []
    ordered: list[Item] = []
    for item in merge(*pieces, key=key):
        ordered.append(item)
        if not len(ordered) % STEP_LINES:
            yield
    return ordered


class Work(Generic[Result]):
    """Runs as it is iterated over, once. `result` may be read after that."""

    def __init__(self, steps: Steps[Result]) -> None:
        self._steps = steps
        self._results: list[Result] = []

    def __iter__(self) -> Iterator[None]:
        self._results.append((yield from self._steps))

    @property
    def result(self) -> Result:
        """The result; IndexError if the work has not been run to its end."""
        return self._results[0]

    def finish(self) -> Result:
        """Run the steps that are left; returns the result."""
        for _ in self:
            pass
        return self.result
