"""Jobs that have come by a broker, or were taken back: each begins once at most."""

from collections import OrderedDict

from colotrace_proto.messages import JobId

REMEMBERED_S = 90.0
"""Longer than a job lives."""
MOST = 100_000


class Remembered:
    """Times are in seconds, on the clock of `now`."""

    def __init__(self) -> None:
        # In the order in which they came.
        self._jobs: OrderedDict[JobId, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job_id: JobId, now: float) -> bool:
        """Whether it is new: one that is delivered again, or was taken back before it came, is
        not."""
        while self._jobs:
            oldest, at = next(iter(self._jobs.items()))
            if now - at < REMEMBERED_S and len(self._jobs) < MOST:
                break
            del self._jobs[oldest]
        new = job_id not in self._jobs
        self._jobs.setdefault(job_id, now)
        return new
