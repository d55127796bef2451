"""How many offers may be unanswered at once. Pure; times in seconds.

An agent answers an offer at once. If the answers come later than usual, this coordinator, or the
hosts of most agents, have more to do than they can: further offers would only wait there, and
everything else would wait behind them. So the window shrinks when the answers are late and grows
while they are in time, as a congestion window that is controlled by delay (Brakmo and Peterson
1995).
"""

import math
import statistics
from collections import OrderedDict

from colotrace_proto.messages import JobId

from colotrace_coordinator.fleet.quickest import Quickest

LEAST, FIRST, MOST = 32, 256, 1_024
LATE_S, LATE_SHARE = 0.01, 0.25
"""An answer is late if it takes this much longer than the agent's quickest, and also this share of
it: on a long path delays vary more."""
LEAST_EPOCH_S = 0.02
"""The window changes once in such a time or in the time that an answer takes: it sees only then
what its last change has caused."""
SHRINK, GROW = 0.7, 1.25
UNANSWERED_S = 0.5
"""An offer that is unanswered for so long is late, and no longer counts: its agent may be gone."""


class Window:
    """The offers that are unanswered, and how many there may be."""

    def __init__(self) -> None:
        self._size = float(FIRST)
        self._starting = True
        self._offered: OrderedDict[JobId, float] = OrderedDict()
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

    def open(self, now: float) -> bool:
        """Whether another offer may be made."""
        while self._offered and self.opens_at() <= now:
            _, offered_at = self._offered.popitem(last=False)
            self._count(now - offered_at, math.inf, now)
        full = len(self._offered) >= self.size
        self._was_full |= full
        return not full

    def opens_at(self) -> float:
        """When the oldest offer no longer counts. To be called while the window is not open."""
        return next(iter(self._offered.values())) + UNANSWERED_S

    def offered(self, job_id: JobId, now: float) -> None:
        """A job is offered."""
        self._offered[job_id] = now

    def answered(self, job_id: JobId, offered_at: float, quickest: Quickest, now: float) -> None:
        """An offer is answered by the agent of `quickest`."""
        if self._offered.pop(job_id, None) is None:
            return
        took_s = now - offered_at
        least_s = quickest.add(offered_at, now)
        self._count(took_s, (took_s - least_s) / max(LATE_S, LATE_SHARE * least_s), now)

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
