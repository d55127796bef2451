"""The jobs of an agent: each accepted or refused at once, and how many there may be."""

import asyncio
from collections.abc import Callable

from colotrace_proto.messages import (
    Accepted,
    Counters,
    Failure,
    Job,
    JobId,
    PacketType,
    RefusalReason,
    Refused,
    UnknownJob,
)
from colotrace_proto.notices import Notice, NoticeCode

from colotrace_agent.engine.multipath.several import offered
from colotrace_agent.host.resolve import Resolver, parse_address
from colotrace_agent.model import family_of
from colotrace_agent.policy import refusals
from colotrace_agent.prober import Prober

from .shell import Emit, JobRun, Progress


class Jobs:
    """The jobs under way. `max_jobs` bounds them."""

    def __init__(
        self,
        prober: Prober,
        resolver: Resolver,
        *,
        packet_types: frozenset[PacketType],
        max_jobs: int,
        allow_private: bool,
    ) -> None:
        self.draining = False
        self._prober = prober
        self._resolver = resolver
        self._packet_types = offered(packet_types)
        self._max_jobs = max_jobs
        self._allow_private = allow_private
        self._running: dict[JobId, JobRun] = {}

    def __len__(self) -> int:
        return len(self._running)

    def counters(self) -> Counters:
        """What the agent has counted of its packets."""
        return self._prober.counters()

    def take(
        self, job: Job | UnknownJob, emit: Emit, *, ready: Callable[[Progress], None] | None = None
    ) -> Accepted | Refused:
        """Accepts a job, whose frames then come out through `emit`, or says at once why not.

        A job that runs already is accepted again, and goes on as it was. `ready` as `JobRun`'s.
        """
        if job.job_id in self._running:
            return Accepted(job.job_id)
        if isinstance(job, UnknownJob):
            return Refused(job.job_id, RefusalReason.UNSUPPORTED, job.notice)
        refused = self._refusal(job)
        if refused is not None:
            return refused

        self._running[job.job_id] = JobRun(
            job,
            prober=self._prober,
            resolver=self._resolver,
            allow_private=self._allow_private,
            emit=emit,
            ready=ready,
            over=self._forget,
            among=self._running,
        )
        return Accepted(job.job_id)

    def cancel(self, job_id: JobId) -> None:
        """Ends a job; its last frame says so. An unknown one is let be."""
        run = self._running.get(job_id)
        if run is not None:
            run.cut_short(Failure.CANCELLED)

    def cancel_all(self) -> None:
        """Ends every job."""
        for job_id in list(self._running):
            self.cancel(job_id)

    async def finish(self, *, within_s: float) -> None:
        """Takes no more jobs and waits for those that run; what is left then is cancelled."""
        self.draining = True
        waiting = [asyncio.ensure_future(run.ended()) for run in self._running.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=within_s)
        self.cancel_all()

    def _forget(self, job_id: JobId) -> None:
        self._running.pop(job_id, None)

    def _refusal(self, job: Job) -> Refused | None:
        def refused(reason: RefusalReason, notice: Notice) -> Refused:
            return Refused(job.job_id, reason, notice)

        if self.draining:
            return refused(RefusalReason.DRAINING, Notice(NoticeCode.STOPPING))
        if len(self._running) >= self._max_jobs:
            full = Notice(NoticeCode.JOBS_FULL, count=self._max_jobs)
            return refused(RefusalReason.BUSY, full)
        if job.packet_type not in self._packet_types:
            missing = Notice(NoticeCode.NO_SUCH_PROBES, name=job.packet_type)
            return refused(RefusalReason.UNSUPPORTED, missing)
        address = parse_address(job.target)
        if address is None:
            return None
        (forbidden,) = refusals([address], allow_private=self._allow_private)
        if forbidden is not None:
            return refused(RefusalReason.POLICY, forbidden)
        if family_of(address) not in self._prober.families:
            missing = Notice(NoticeCode.NO_FAMILY, families=(family_of(address),))
            return refused(RefusalReason.NO_FAMILY, missing)
        return None
