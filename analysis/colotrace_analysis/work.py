"""A computation in short steps, so that an event loop has its turns in between.

work = graph.work(measured)
await turns.run(work)       # or, where nothing else waits: work.finish()
work.result
"""

from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")

STEP_LINES = 1_000
"""Replies that are worked on in one step: 1 to 2 ms. A step ends between two rows."""
MANY_FLOWS = 50
"""Flows beyond which a row is worked on in several steps. With 250 flows, a step takes 5 ms."""

Steps = Generator[None, None, Result]
"""What the modules write: yields between two steps, and returns the result."""


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
