"""From a trace's state to the frames that tell a coordinator of it."""

import dataclasses
import os

from colotrace_proto.messages import Failure, Frame, JobId, Node, Outcome, Replies

from .engine.trace import Trace


class Report:
    """Makes the frames of one job, in order; each holds what the one before did not."""

    def __init__(self, job_id: JobId) -> None:
        self.job_id = job_id
        self._sequence = 0
        self._told = 0

    def progress(self, trace: Trace) -> Frame:
        """What is new in the trace."""
        return self._frame(trace, None)

    def final(self, trace: Trace, failure: Failure, detail: str = "") -> Frame:
        """What is new in the trace, and how it ended; `failure` NONE is judged from the trace."""
        outcome = Outcome(
            failure=failure,
            detail=detail,
            duration_ns=(trace.ended or trace.started) - trace.started,
            duplicates=trace.counters.duplicates,
            late=trace.counters.late,
            foreign=trace.counters.foreign,
        )
        if trace.send_errors and failure is Failure.NONE:
            outcome = _with_send_errors(outcome, trace)
        return self._frame(trace, outcome)

    def failed(self, failure: Failure, detail: str, *, target: bytes = b"") -> Frame:
        """The job ended before its trace began."""
        self._sequence += 1
        outcome = Outcome(failure=failure, detail=detail)
        return Frame(self.job_id, self._sequence, target_address=target, outcome=outcome)

    def _frame(self, trace: Trace, outcome: Outcome | None) -> Frame:
        self._sequence += 1
        news = trace.replies[self._told :]
        self._told = len(trace.replies)
        nodes: dict[Node, int] = {}
        lines = tuple(
            nodes.setdefault(Node(reply.address, reply.kind, reply.labels), len(nodes))
            for reply in news
        )
        return Frame(
            job_id=self.job_id,
            sequence=self._sequence,
            target_address=trace.spec.target,
            sent=tuple(trace.sent),
            replies=Replies(
                ttl=tuple(reply.ttl for reply in news),
                rtt_ns=tuple(reply.rtt_ns for reply in news),
                node=lines,
                nodes=tuple(nodes),
            ),
            outcome=outcome,
        )


def _with_send_errors(outcome: Outcome, trace: Trace) -> Outcome:
    """The outcome with a word on the probes that could not leave: that is not the network's."""
    kept = ", ".join(
        f"{count} x {os.strerror(error)}" for error, count in sorted(trace.send_errors.items())
    )
    if not any(trace.sent):
        detail = f"no probe could be sent from here: {kept}"
        return dataclasses.replace(outcome, failure=Failure.SEND, detail=detail)
    notice = f"probes that could not be sent from here, and are not counted as lost: {kept}"
    return dataclasses.replace(outcome, notices=(notice,))
