"""Recent jobs from a broker, including cancelled ones: each starts at most once."""

from collections import OrderedDict

from colotrace_proto.messages import JobId

REMEMBERED_S = 90.0
"""Longer than the lifetime of a job."""
MOST = 100_000


class Remembered:
    """A set of at most `MOST` job ids, each for `REMEMBERED_S`. Times are in seconds."""

    def __init__(self) -> None:
        # In order of arrival.
        self._jobs: OrderedDict[JobId, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job_id: JobId, now: float) -> bool:
        """Add a job. Returns False if it is known: delivered twice, or cancelled before it came."""
        while self._jobs:
            oldest, at = next(iter(self._jobs.items()))
            if now - at < REMEMBERED_S and len(self._jobs) < MOST:
                break
            del self._jobs[oldest]
        new = job_id not in self._jobs
        self._jobs.setdefault(job_id, now)
        return new
