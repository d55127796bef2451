"""When jobs are given up that have not started."""

import asyncio
from collections.abc import Callable
from functools import partial

from colotrace_coordinator.turns import Turns

from .running import LiveJob

PRECISION_S = 0.1


class GiveUps:
    """Gives up jobs at their times, on the loop's clock, unless they have started or ended.

    One timer serves all jobs of about the same time, since a request may have 25,000. Build it
    inside a running event loop.
    """

    def __init__(self, turns: Turns, give_up: Callable[[LiveJob], None]) -> None:
        self._turns = turns
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[float, dict[LiveJob, None]] = {}
        self._times: dict[LiveJob, float] = {}

    def after(self, seconds: float, job: LiveJob) -> None:
        """Give the job up after this time."""
        at = round((self._loop.time() + seconds) / PRECISION_S) * PRECISION_S
        if at not in self._jobs:
            self._jobs[at] = {}
            self._loop.call_at(at, partial(self._due, at))
        self._jobs[at][job] = None
        self._times[job] = at

    def forget(self, job: LiveJob) -> None:
        """The job has started or ended. It is not kept: it may hold a large result."""
        at = self._times.pop(job, None)
        if at is not None:
            self._jobs.get(at, {}).pop(job, None)

    def _due(self, at: float) -> None:
        self._turns.each(tuple(self._jobs.pop(at)), partial(self._give_up_if_due, at))

    def _give_up_if_due(self, at: float, job: LiveJob) -> None:
        """The job may have started or been put off since."""
        if self._times.get(job) == at:
            del self._times[job]
            self._give_up(job)
