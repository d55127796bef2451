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
LEAST_EPOCH_S = 0.02
"""The window changes once in such a time or in the time that an answer takes: it sees only then
what its last change has caused."""
SHRINK, GROW = 0.7, 1.25
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
        self._late: list[float] = []
        self._took: list[float] = []
        self._epoch_ends = 0.0
        self._was_full = False

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
        full = len(self._offered) >= self.size
        self._was_full |= full
        return not full

    def open_for(self, colo: ColoName) -> bool:
        """Whether another offer may be made to an agent of this colo."""
        return self._of_colo[colo] < max(LEAST_OF_COLO, SHARE_OF_COLO * self._size)

    def forget(self, now: float) -> Iterator[ColoName]:
        """Forget offers that have been unanswered for long; yields the colo of each."""
        while self._offered and self.forgets_at() <= now:
            offered_at, colo = self._offered[job_id := next(iter(self._offered))]
            self._remove(job_id)
            self._count(now - offered_at, math.inf, now)
            yield colo

    def forgets_at(self) -> float:
        """When the next offer is forgotten; infinite if there is none."""
        return next(iter(self._offered.values()))[0] + UNANSWERED_S if self._offered else math.inf

    def offered(self, job_id: JobId, colo: ColoName, now: float) -> None:
        """A job is offered."""
        self._offered[job_id] = now, colo
        self._of_colo[colo] += 1

    def answered(self, job_id: JobId, quickest: Quickest, now: float) -> None:
        """An offer is answered by the agent of `quickest`."""
        if job_id not in self._offered:
            return
        offered_at, _ = self._offered[job_id]
        self._remove(job_id)
        least_s = quickest.add(offered_at, now)
        took_s = now - offered_at
        self._count(took_s, (took_s - least_s) / max(LATE_S, LATE_SHARE * least_s), now)

    def _remove(self, job_id: JobId) -> None:
        _, colo = self._offered.pop(job_id)
        self._of_colo[colo] -= 1
        if not self._of_colo[colo]:
            del self._of_colo[colo]

    def _count(self, took_s: float, late: float, now: float) -> None:
        """Count an answer; it is late if `late` is above 1."""
        self._took.append(took_s)
        self._late.append(late)
        if now < self._epoch_ends:
            return
        if statistics.median(self._late) > 1:
            self._size = max(self._size * SHRINK, LEAST)
            self._starting = False
        elif self._was_full:
            self._size = min(self._size * (2 if self._starting else GROW), MOST)
        self._epoch_ends = now + max(LEAST_EPOCH_S, statistics.median(self._took))
        self._was_full = False
        self._late.clear()
        self._took.clear()
