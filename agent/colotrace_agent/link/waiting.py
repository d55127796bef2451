"""Jobs of a coordinator that came by the broker before the stream to the coordinator was up."""

from collections import deque

from colotrace_proto.messages import Job, JobId, UnknownJob
from msgspec.structs import replace

_MAX_JOBS = 1_000
EXPIRY_S = 3.0
"""How long a coordinator waits for a job to be accepted, at most. One that waits less takes the job
back."""


class WaitingJobs:
    """A queue of at most 1,000 jobs; beyond that the oldest is dropped. `now` is in seconds."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Job | UnknownJob, float]] = deque(maxlen=_MAX_JOBS)

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job | UnknownJob, now: float) -> None:
        """Queue a job."""
        self._jobs.append((job, now))

    def cancel(self, job_id: JobId) -> None:
        """Remove a job; an unknown job id is ignored."""
        for each in [each for each in self._jobs if each[0].job_id == job_id]:
            self._jobs.remove(each)

    def take(self, now: float) -> list[Job | UnknownJob]:
        """Empty the queue: its unexpired jobs, with the time that they have left."""
        jobs = [_aged(job, now - at) for job, at in self._jobs if now - at <= EXPIRY_S]
        self._jobs.clear()
        return jobs


def _aged(job: Job | UnknownJob, age_s: float) -> Job | UnknownJob:
    if isinstance(job, UnknownJob):
        return job
    return replace(job, remaining_ms=max(job.remaining_ms - round(age_s * 1e3), 0))
