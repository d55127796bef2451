"""Identical jobs that begin almost together are run once."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from colotrace_proto.deadlines import JOIN_WINDOW_S

DROPPED_AT_ONCE = 4
K = TypeVar("K", bound=Hashable)
J = TypeVar("J")


class Recent(Generic[K, J]):
    """The jobs that began less than `JOIN_WINDOW_S` ago, each under what makes it identical."""

    def __init__(self) -> None:
        # In the order in which they began.
        self._jobs: dict[K, tuple[float, J]] = {}

    def __len__(self) -> int:
        """Jobs that are kept."""
        return len(self._jobs)

    def find(self, key: K, now: float) -> J | None:
        """The identical job that began within the window."""
        found = self._jobs.get(key)
        return found[1] if found and now - found[0] < JOIN_WINDOW_S else None

    def add(self, key: K, job: J, now: float) -> None:
        """A job has begun. Drops a few jobs that can no longer be joined, and no more: to free
        thousands at once would hold up the event loop."""
        for _ in range(DROPPED_AT_ONCE):
            oldest = next(iter(self._jobs), None)
            if oldest is None or now - self._jobs[oldest][0] < JOIN_WINDOW_S:
                break
            del self._jobs[oldest]
        self._jobs.pop(key, None)
        self._jobs[key] = (now, job)

    def ended(self, key: K, job: J, now: float) -> None:
        """The job has ended. It can be joined until the end of the window."""
        found = self._jobs.get(key)
        if found is not None and now - found[0] >= JOIN_WINDOW_S:
            self.forget(key, job)

    def forget(self, key: K, job: J) -> None:
        """The job was cancelled and cannot be joined."""
        found = self._jobs.get(key)
        if found is not None and found[1] is job:
            del self._jobs[key]
