"""How many offers may be unanswered at once. Pure; times in seconds.

An agent answers an offer at once. If the answers come later than usual, this coordinator, or the
hosts of most agents, have more to do than they can: further offers would only wait there, and
everything else would wait behind them. So the window shrinks when the answers are late and grows
while they are in time, as a congestion window that is controlled by delay (Brakmo and Peterson
1995).
"""

import math
import statistics
from collections import Counter, OrderedDict
from collections.abc import Iterator

from colotrace_proto.messages import ColoName, JobId

from colotrace_coordinator.fleet.quickest import Quickest

LEAST, FIRST, MOST = 32, 256, 1_024
LATE_S, LATE_SHARE = 0.01, 0.25
"""An answer is late if it takes this much longer than the agent's quickest, and also this share of
it: on a long path delays vary more."""
LEAST_EPOCH_S, LEAST_ANSWERS = 0.02, 8
"""The window changes once in such a time or in the time that an answer takes, since it sees only
then what its last change has caused, and after so many answers."""
SHRINK, GROW = 0.7, 1.25
RESTART_S = 10.0
"""A window that was not full for so long begins anew: what it has learned is out of date."""
LEAST_OF_COLO, SHARE_OF_COLO = 10, 0.25
"""A colo's part of the window: agents that do not answer hold up their own colo's jobs first."""
UNANSWERED_S = 0.5
"""An offer that is unanswered for so long is late, and no longer counts: its agent may be gone."""


class Window:
    """The offers that are unanswered, and how many there may be."""

    def __init__(self) -> None:
        self._size = float(FIRST)
        self._starting = True
        self._offered: OrderedDict[JobId, tuple[float, ColoName]] = OrderedDict()
        self._of_colo: Counter[ColoName] = Counter()
        # Of the answers of this epoch: how late they were (1: just too late), and what they took.
        self._lateness: list[float] = []
        self._took: list[float] = []
        self._epoch_ends = 0.0
        self._was_full = False
        self._full_at = 0.0

    @property
    def size(self) -> int:
        """Offers that may be unanswered."""
        return int(self._size)

    @property
    def unanswered(self) -> int:
        """Offers that are unanswered and count. May be called from another thread."""
        return len(self._offered)

    def open(self) -> bool:
        """Whether another offer may be made."""
        return len(self._offered) < self.size

    def open_for(self, colo: ColoName) -> bool:
        """Whether another offer may be made to an agent of this colo."""
        return self._of_colo[colo] < max(LEAST_OF_COLO, SHARE_OF_COLO * self._size)

    def held_back(self, now: float) -> None:
        """A job waits because the window, or its colo's part of it, is full."""
        self._was_full, self._full_at = True, now

    def forget(self, now: float) -> Iterator[ColoName]:
        """Forget what is out of date: offers that have been unanswered for long, of which the colos
        are yielded, and the size of a window that has not been full for long."""
        if now - self._full_at >= RESTART_S and self._size < FIRST:
            self._size, self._starting = FIRST, True
        while self.forgets_at() <= now:
            _, colo = self._remove(next(iter(self._offered)))
            self._count(UNANSWERED_S, math.inf, now)
            yield colo

    def forgets_at(self) -> float:
        """When the next offer is forgotten; infinite if there is none."""
        return next(iter(self._offered.values()))[0] + UNANSWERED_S if self._offered else math.inf

    def offered(self, job_id: JobId, colo: ColoName, now: float) -> None:
        """A job is offered."""
        self._offered[job_id] = now, colo
        self._of_colo[colo] += 1

    def withdrawn(self, job_id: JobId, now: float) -> None:
        """A job is taken back; its agent need not have been late."""
        if job_id in self._offered:
            offered_at, _ = self._remove(job_id)
            if now - offered_at >= UNANSWERED_S:
                self._count(UNANSWERED_S, math.inf, now)

    def answered(self, job_id: JobId, quickest: Quickest, now: float) -> None:
        """An offer is answered by the agent of `quickest`."""
        if job_id not in self._offered:
            return
        offered_at, _ = self._remove(job_id)
        took_s, least_s = now - offered_at, quickest.add(offered_at, now)
        lateness = (took_s - least_s) / max(LATE_S, LATE_SHARE * least_s)
        self._count(min(took_s, UNANSWERED_S), lateness, now)

    def _remove(self, job_id: JobId) -> tuple[float, ColoName]:
        offered_at, colo = self._offered.pop(job_id)
        self._of_colo[colo] -= 1
        if not self._of_colo[colo]:
            del self._of_colo[colo]
        return offered_at, colo

    def _count(self, took_s: float, lateness: float, now: float) -> None:
        """Count an answer, and end the epoch if it has lasted long enough. Only a window that was
        full grows: otherwise something else limits the offers."""
        self._took.append(took_s)
        self._lateness.append(lateness)
        if now < self._epoch_ends or len(self._took) < LEAST_ANSWERS:
            return
        if statistics.median(self._lateness) > 1:
            self._size = max(self._size * SHRINK, LEAST)
            self._starting = False
        elif self._was_full:
            self._size = min(self._size * (2 if self._starting else GROW), MOST)
        self._epoch_ends = now + max(LEAST_EPOCH_S, statistics.median(self._took))
        self._was_full = False
        self._lateness.clear()
        self._took.clear()
