"""Identical jobs that begin almost together are run once."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from colotrace_proto.deadlines import JOIN_WINDOW_S

K = TypeVar("K", bound=Hashable)
J = TypeVar("J")


class Recent(Generic[K, J]):
    """The jobs that began less than `JOIN_WINDOW_S` ago, each under what makes it identical."""

    def __init__(self) -> None:
        # In the order in which they began.
        self._jobs: OrderedDict[K, tuple[float, J]] = OrderedDict()

    def __len__(self) -> int:
        """Jobs that are kept."""
        return len(self._jobs)

    def find(self, key: K, now: float) -> J | None:
        """The identical job that began within the window."""
        while self._jobs:
            oldest, (began_at, _) = next(iter(self._jobs.items()))
            if now - began_at < JOIN_WINDOW_S:
                break
            del self._jobs[oldest]
        found = self._jobs.get(key)
        return found[1] if found else None

    def add(self, key: K, job: J, now: float) -> None:
        """A job has begun."""
        self._jobs[key] = (now, job)
        self._jobs.move_to_end(key)

    def forget(self, key: K, job: J) -> None:
        """The job was cancelled and cannot be joined."""
        found = self._jobs.get(key)
        if found is not None and found[1] is job:
            del self._jobs[key]
