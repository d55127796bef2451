"""Frames: reports of a trace's new replies and of its outcome."""

from collections.abc import Sequence
from typing import Protocol

from colotrace_proto.messages import Edge, Failure, FlowFields, Frame, JobId, Node, Outcome, Replies
from colotrace_proto.notices import Notice, NoticeCode
from msgspec.structs import replace

from colotrace_agent.engine.notices import Caveats
from colotrace_agent.model import Counters, Reply


class Traced(Protocol):
    """A trace, or several as one. `sent` counts probes at TTL 1, 2, 3 …; `replies` only grows."""

    @property
    def target(self) -> bytes:
        """The target's packed address."""

    @property
    def source(self) -> bytes:
        """The packed source address of its probes."""

    @property
    def flows(self) -> Sequence[FlowFields]:
        """Header fields of each flow, in the order of `Reply.flow`; only grows."""

    @property
    def started(self) -> int:
        """When it began."""

    @property
    def ended(self) -> int | None:
        """When it ended."""

    @property
    def sent(self) -> Sequence[int]:
        """Sent probes."""

    @property
    def replies(self) -> Sequence[Reply]:
        """Answers, in order."""

    @property
    def counters(self) -> Counters:
        """What was heard and is no answer."""

    @property
    def caveats(self) -> Caveats:
        """What happened beside the answers."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What to tell beside the row."""


class Report:
    """Makes the frames of one job, in order; each has the replies since the one before."""

    __slots__ = ("_flows", "_sequence", "_told", "job_id")

    def __init__(self, job_id: JobId) -> None:
        self.job_id = job_id
        self._sequence = 0
        self._told = 0
        self._flows = 0

    def resolved(self, target: bytes) -> Frame:
        """A frame of the address that the target's name has, before anything was sent there."""
        self._sequence += 1
        return Frame(self.job_id, self._sequence, target_address=target)

    def progress(self, traced: Traced) -> Frame:
        """A frame of the new replies."""
        return self._frame(traced, None)

    def final(self, traced: Traced, failure: Failure, *, links: tuple[Edge, ...] = ()) -> Frame:
        """The last frame: new replies and the outcome. `failure` NONE becomes SEND if no probe was
        sent."""
        counters = traced.counters
        outcome = Outcome(
            failure=failure,
            duration_ns=(traced.ended or traced.started) - traced.started,
            notices=traced.notices,
            duplicates=counters.duplicates,
            late=counters.late,
            foreign=counters.foreign,
            ambiguous=counters.ambiguous,
            unplaced=traced.caveats.unplaced,
            links=links,
        )
        if traced.caveats.send_errors and failure is Failure.NONE:
            outcome = _with_send_errors(outcome, traced)
        return self._frame(traced, outcome)

    def failed(self, failure: Failure, cause: Notice, *, target: bytes = b"") -> Frame:
        """The last frame of a job without a trace."""
        self._sequence += 1
        outcome = Outcome(failure=failure, cause=cause)
        return Frame(self.job_id, self._sequence, target_address=target, outcome=outcome)

    def _frame(self, traced: Traced, outcome: Outcome | None) -> Frame:
        self._sequence += 1
        news = traced.replies[self._told :]
        self._told = len(traced.replies)
        flows = tuple(traced.flows[self._flows :])
        self._flows += len(flows)
        nodes: dict[Node, int] = {}
        lines = tuple(
            nodes.setdefault(Node(reply.address, reply.kind, reply.labels), len(nodes))
            for reply in news
        )
        return Frame(
            job_id=self.job_id,
            sequence=self._sequence,
            target_address=traced.target,
            sent=tuple(traced.sent),
            replies=Replies(
                ttl=tuple(reply.ttl for reply in news),
                rtt_ns=tuple(reply.rtt_ns for reply in news),
                node=lines,
                nodes=tuple(nodes),
                ordinal=tuple(reply.ordinal for reply in news),
                flow=tuple(reply.flow for reply in news),
            ),
            outcome=outcome,
            source_address=traced.source,
            flows=flows,
        )


def _with_send_errors(outcome: Outcome, traced: Traced) -> Outcome:
    """The outcome with a notice of the probes that the host did not send: they are no loss."""
    code = NoticeCode.PROBES_UNSENT if any(traced.sent) else NoticeCode.NO_PROBE_SENT
    errors = tuple(sorted(traced.caveats.send_errors.items()))
    notice = Notice(code, errors=errors)
    if traced.caveats.obstacle is not None:
        address, interface = traced.caveats.obstacle
        notice = replace(notice, addresses=(address,), name=interface)
    if code is NoticeCode.NO_PROBE_SENT:
        return replace(outcome, failure=Failure.SEND, cause=notice)
    return replace(outcome, notices=(notice, *outcome.notices))
