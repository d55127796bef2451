"""What a job is to do, and its result."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import msgspec
from colotrace_proto.codes import RowCode
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    MAX_JOB_PROBES,
    MAX_REMAINING_MS,
    ColoName,
    Edge,
    Family,
    FlowFields,
    Job,
    JobId,
    Owner,
    Replies,
)
from colotrace_proto.notices import Notice

from .attempt import Attempt
from .faults import Fault, Weight


class Task(NamedTuple):
    """What is to be traced. `family` is that of the addresses, None if an agent may choose: the
    target is a name, and its options leave the family open.

    A tuple, since it is hashed several times for each job.
    """

    colo: ColoName
    target: str
    options: Options
    family: Family | None = None

    @property
    def most_replies(self) -> int:
        """How many probes an agent may send for the task."""
        return MAX_JOB_PROBES if self.options.multipath else self.packets

    @property
    def packets(self) -> int:
        """See `Options.packets`."""
        return self.options.packets

    def job(self, job_id: JobId, *, remaining_ms: int, owner: Owner | None = None) -> Job:
        """The task as it is offered to an agent."""
        options = self.options
        return Job(
            job_id=job_id,
            target=self.target,
            packet_type=options.packet_type,
            max_ttl=options.max_ttl,
            packets_per_ttl=options.packets_per_ttl,
            wait_ms=options.wait_ms,
            port=options.port,
            flow=options.flow,
            remaining_ms=min(remaining_ms, MAX_REMAINING_MS),
            multipath=options.multipath,
            owner=owner,
            family=options.family,
        )


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a job. `fault` is None if the target was traced.

    `moved`: why the job went from one agent to another while tracing, as text. `notices` are the
    agent's, `links` those that a multipath job found between its addresses. `unplaced` counts
    answers of the target that name no probe. `limited_s`: how long the limit of packets to the
    target delayed the start. `source_address` and `flows` are of the probes; empty from an agent of
    release 0.2.
    """

    fault: Fault | None
    target_address: bytes
    sent: tuple[int, ...]
    replies: Replies
    duration_ns: int
    moved: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    unplaced: int = 0
    links: tuple[Edge, ...] = ()
    limited_s: float = 0.0
    source_address: bytes = b""
    flows: tuple[FlowFields, ...] = ()

    @classmethod
    def of(cls, best: Attempt | None, fault: Fault | None, *, earlier: Iterable[Fault]) -> Self:
        """The result with what the best attempt has got. `earlier` are the faults on the way."""
        # The address that a name has inside of a colo's network is not for a caller who may not
        # trace it.
        hidden = fault is not None and fault.code == RowCode.UNTRACEABLE
        outcome = best.outcome if best else None
        return cls(
            fault=fault,
            target_address=best.target_address if best and not hidden else b"",
            sent=best.sent if best else (),
            replies=best.replies if best else Replies(),
            duration_ns=best.duration_ns if best else 0,
            moved=tuple(f.words for f in earlier if f.weight is Weight.LOST and f is not fault),
            notices=outcome.notices if outcome else (),
            unplaced=outcome.unplaced if outcome else 0,
            links=outcome.links if outcome else (),
            source_address=best.source_address if best else b"",
            flows=best.flows if best else (),
        )
