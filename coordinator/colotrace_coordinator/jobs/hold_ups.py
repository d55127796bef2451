"""The deadlines of jobs after the event loop was held up.

The running clock does not count the time of a hold-up, but the client's clock does. So the
deadlines are moved by what the running clock has fallen behind.
"""

from collections.abc import Callable

from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.shares import TokenBuckets

from .running import LiveJob

MIN_S = 0.5
"""Hold-ups are summed up until they reach this much; then every deadline is corrected."""


class HoldUps:
    """Sums up hold-ups, and corrects the deadlines of jobs. `happened` is called with the sum."""

    def __init__(
        self, clock: RunningClock, log: FilteringBoundLogger, happened: Callable[[float], None]
    ) -> None:
        self._clock = clock
        self._log = log
        self._happened = happened
        self._sum_s = 0.0
        self._behind_s = 0.0
        self._logs: TokenBuckets[None] = TokenBuckets(rate=0.1, burst=3)
        clock.on_held_up(self._held_up)

    def begin(self, job: LiveJob) -> None:
        """The job's deadline is right now."""
        job.behind_s = self._behind_s

    def correct(self, job: LiveJob, now: float) -> None:
        """Move the job's deadline by the hold-ups since it was last right."""
        if by_s := self._behind_s - job.behind_s:
            job.behind_s = self._behind_s
            job.machine.held_up(now, by_s=by_s)

    def _held_up(self, by_s: float) -> None:
        self._sum_s += by_s
        if self._sum_s < MIN_S:
            return
        by_s, self._sum_s = self._sum_s, 0.0
        self._behind_s += by_s
        if self._logs.spend(None, 1, self._clock.now()):
            self._log.warning("held_up", seconds=round(by_s, 1))
        self._happened(by_s)
