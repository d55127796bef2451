"""The jobs of an agent: each accepted or refused at once, and how many there may be."""

import asyncio
from collections.abc import Callable
from functools import partial

from colotrace_proto.messages import (
    Accepted,
    Counters,
    Failure,
    Frame,
    Job,
    JobId,
    Owner,
    PacketType,
    RefusalReason,
    Refused,
    UnknownJob,
    Usage,
)
from colotrace_proto.notices import Notice, NoticeCode

from colotrace_agent.engine.multipath.several import offered
from colotrace_agent.host.resolve import Resolver, parse_address
from colotrace_agent.model import family_of
from colotrace_agent.policy import Policy
from colotrace_agent.prober import Prober

from .shell import Emit, JobShell, Progress
from .slots import Slots

CONSENT_S = 1.0
"""How long a job waits until the coordinator has acknowledged the address of its target's name. It
starts then in any case: the limit of packets to one address is not worth losing a row."""

_REASONS = {
    Failure.POLICY: RefusalReason.POLICY,
    Failure.NO_FAMILY: RefusalReason.NO_FAMILY,
}


class Jobs:
    """The jobs under way. `max_jobs` bounds them; see `slots` for an owner's part of these."""

    def __init__(
        self,
        prober: Prober,
        resolver: Resolver,
        *,
        packet_types: frozenset[PacketType],
        max_jobs: int,
        allow_private: bool,
        usage: Callable[[], Usage | None] = lambda: None,
    ) -> None:
        """`usage` measures this process."""
        self.draining = False
        self.usage = usage
        self._prober = prober
        self._resolver = resolver
        self._packet_types = offered(packet_types)
        self._slots = Slots(max_jobs)
        self._policy = Policy(allow_private=allow_private, families=lambda: prober.families)
        self._under_way: dict[JobId, JobShell] = {}
        self._one_ended = asyncio.Event()

    def __len__(self) -> int:
        return len(self._under_way)

    def counters(self) -> Counters:
        """The agent's packet counters."""
        return self._prober.counters()

    def take(
        self, job: Job | UnknownJob, emit: Emit, *, ready: Callable[[Progress], object]
    ) -> Accepted | Refused:
        """Accepts a job or refuses it at once. `emit` gets the last frame of an accepted job,
        `ready` its progress, as in `JobShell`.

        A job that runs already is accepted again, and goes on as it was.
        """
        if job.job_id in self._under_way:
            return Accepted(job.job_id)
        if isinstance(job, UnknownJob):
            return Refused(job.job_id, RefusalReason.UNSUPPORTED, job.notice)
        refused = self._refusal(job)
        if refused is not None:
            return Refused(job.job_id, *refused)
        addresses = None
        literal = parse_address(job.target)
        if literal is not None:
            if job.family not in (None, family_of(literal)):
                cause = Notice(NoticeCode.OTHER_FAMILY, name=job.target, families=(job.family,))
                return Refused(job.job_id, RefusalReason.NO_FAMILY, cause)
            (barred,) = self._policy.judge_all([literal])
            if barred is not None:
                return Refused(job.job_id, _REASONS[barred.failure], barred.cause)
            addresses = [literal]
        self._under_way[job.job_id] = JobShell(
            job,
            prober=self._prober,
            resolver=self._resolver,
            policy=self._policy,
            ready=ready,
            end=partial(self._end, emit, job.owner),
            addresses=addresses,
            among=self._under_way,
            consent_s=CONSENT_S,
        )
        self._slots.take(job.owner)
        return Accepted(job.job_id)

    def acknowledged(self, job_id: JobId) -> None:
        """The coordinator has acknowledged a frame. An unknown job id is ignored."""
        job = self._under_way.get(job_id)
        if job is not None:
            job.acknowledged()

    def cancel(self, job_id: JobId) -> None:
        """Ends a job; its last frame says so. An unknown job id is ignored."""
        job = self._under_way.get(job_id)
        if job is not None:
            job.cut_short(Failure.CANCELLED)

    def cancel_all(self) -> None:
        """Ends every job."""
        for job_id in list(self._under_way):
            self.cancel(job_id)

    async def ended(self) -> None:
        """Returns once no job is under way."""
        while self._under_way:
            self._one_ended.clear()
            await self._one_ended.wait()

    def _end(self, emit: Emit, owner: Owner | None, frame: Frame) -> None:
        del self._under_way[frame.job_id]
        self._slots.release(owner)
        self._one_ended.set()
        emit(frame)

    def _refusal(self, job: Job) -> tuple[RefusalReason, Notice] | None:
        """Why the agent takes no such job now, whatever its target."""
        if self.draining:
            return RefusalReason.DRAINING, Notice(NoticeCode.STOPPING)
        full = self._slots.refusal(job.owner)
        if full is not None:
            return RefusalReason.BUSY, full
        if job.packet_type not in self._packet_types:
            missing = Notice(NoticeCode.NO_SUCH_PROBES, name=job.packet_type)
            return RefusalReason.UNSUPPORTED, missing
        if job.family is not None and job.family not in self._prober.families:
            return RefusalReason.NO_FAMILY, Notice(NoticeCode.NO_FAMILY, families=(job.family,))
        return None
