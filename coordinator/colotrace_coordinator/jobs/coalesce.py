"""Identical jobs that begin almost together are run once."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

WINDOW_S = 0.2

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Recent(Generic[K, R]):
    """The runs that began less than `WINDOW_S` ago, each under what makes it identical."""

    def __init__(self) -> None:
        # In the order in which they began.
        self._runs: OrderedDict[K, tuple[float, R]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, key: K, now: float) -> R | None:
        """The identical run that began within the window."""
        while self._runs:
            oldest = next(iter(self._runs))
            if now - self._runs[oldest][0] < WINDOW_S:
                break
            del self._runs[oldest]
        found = self._runs.get(key)
        return found[1] if found else None

    def add(self, key: K, run: R, now: float) -> None:
        """A run has begun."""
        self._runs[key] = (now, run)
        self._runs.move_to_end(key)

    def forget(self, key: K, run: R) -> None:
        """The run was given up: nobody may join it."""
        found = self._runs.get(key)
        if found is not None and found[1] is run:
            del self._runs[key]
