"""The machine of one job: which traces to start and stop, and when a frame is due.

Sans-IO: events and `now` in; traces to start, times and frames out. `now` is in seconds on a
monotonic clock. The caller

1. gives the addresses to try to `begin`, or calls `fail`;
2. starts what `due` returns and reports each as `started` or `not_started`, then asks `due` again,
   until it returns nothing; it does so after each event that follows, too;
3. passes each change of a trace to `changed`, and stops the traces that `cut_short` returns;
4. builds a progress frame when `changed` says that one is due, and ends with the frame `final`.
"""

from collections.abc import Sized

from colotrace_proto.messages import Failure, Frame, Job
from colotrace_proto.notices import Notice, NoticeCode

from colotrace_agent.engine.multipath.several import Several, specs_of
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import TraceSpec

from .frames import Report, Traced

MERGE_S = 0.05
"""Minimum interval between progress frames of a job. The first and the last frame do not wait."""
PROGRESS_RATE = 400
"""Progress frames a second of all jobs together. With so many jobs that `MERGE_S` would exceed it,
the interval grows and the first frame waits as well: most jobs end before their first one."""

# New flows start only while this multiple of the job's `wait_ms` is left.
_WAITS_LEFT = 2

_TOO_EARLY = {
    Failure.CANCELLED: NoticeCode.CANCELLED_EARLY,
    Failure.DEADLINE: NoticeCode.DEADLINE_EARLY,
}


class JobMachine:
    """One job, from its addresses to its last frame.

    `deadline` is when the job's time ends: the caller then calls `cut_short`. `final` is the last
    frame, None while the job runs. `traces` are those under way.
    """

    def __init__(self, job: Job, *, now: float, among: Sized = ()) -> None:
        """`among` are the jobs that run at the same time."""
        self.deadline = now + job.remaining_ms / 1e3
        self.final: Frame | None = None
        self.traces: list[Trace] = []
        self._job = job
        self._among = among
        self._addresses: list[bytes] = []
        self._untried: list[bytes] = []
        # Why no trace started, for each address that was tried.
        self._causes: list[Notice] = []
        self._several: Several | None = None
        self._cut_short = Failure.NONE
        self._report = Report(job.job_id)
        self._reported_at = now - MERGE_S
        self._unreported: Traced | None = None

    def begin(self, addresses: list[bytes]) -> None:
        """Trace the first of these packed addresses that has a route."""
        self._addresses = addresses
        self._untried = addresses[::-1]

    def due(self, now: float) -> list[TraceSpec]:
        """Traces to start now. Ends the job if nothing is under way and nothing is left to do."""
        while self.final is None and not (self.traces and self._several is None):
            several = self._several
            if several is not None:
                if several.started and self.deadline - now < _WAITS_LEFT * self._job.wait_ms / 1e3:
                    several.stop(Notice(NoticeCode.NO_TIME_FOR_FLOWS))
                specs = several.due()
                if specs or not several.done:
                    return specs
                if several.started:
                    several.settle()
                    links = several.links
                    self._finish(self._report.final(several, self._cut_short, links=links))
                    break
                self._causes.append(several.notices[0])
            if not self._untried:
                if self._causes:
                    self.fail(Failure.SEND, self._causes[0], target=self._addresses[0])
                break
            specs = specs_of(spec_of(self._job, self._untried.pop()))
            if len(specs) == 1 and not self._job.multipath:
                return specs
            self._several = Several(specs, multipath=self._job.multipath)
        return []

    def started(self, trace: Trace) -> None:
        """A trace that was due has started."""
        self.traces.append(trace)
        if self._several is not None:
            self._several.begun(trace)

    def resolved(self, target: bytes) -> Frame | None:
        """The frame that tells the address of the target's name; None if the job has ended."""
        return None if self.final is not None else self._report.resolved(target)

    def not_started(self, spec: TraceSpec, cause: Notice) -> None:
        """A trace that was due cannot start."""
        if self._several is None:
            self._causes.append(cause)
        else:
            self._several.missed(spec, cause)

    def changed(self, trace: Trace) -> float | None:
        """A trace has new replies, or has ended. Returns when the next progress frame is due, which
        may be past; None if there is nothing to report, or that time was returned before."""
        if self.final is not None:
            return None
        if trace.ended is not None:
            self.traces.remove(trace)
        traced: Traced = trace
        if self._several is not None:
            # The replies of several traces are reported as each trace ends.
            if trace.ended is None:
                return None
            traced = self._several
            self._several.took(trace)
            if not self._several.replies:
                return None
        elif trace.ended is not None:
            self._finish(self._report.final(trace, self._cut_short))
            return None
        if self._unreported is not None:
            return None
        self._unreported = traced
        return self._reported_at + max(MERGE_S, len(self._among) / PROGRESS_RATE)

    def progress(self, now: float) -> Frame | None:
        """A frame of what is new; None if there is nothing new, or the job has ended."""
        if self._unreported is None:
            return None
        traced, self._unreported = self._unreported, None
        self._reported_at = now
        return self._report.progress(traced)

    def cut_short(self, failure: Failure) -> list[Trace]:
        """End the job with what there is, because of that failure. Returns the traces to stop."""
        if self.final is not None or self._cut_short is not Failure.NONE:
            return []
        self._cut_short = failure
        if not self.traces:
            self.fail(failure, Notice(_TOO_EARLY[failure]))
        elif self._several is not None:
            self._several.stop()
        return list(self.traces)

    def fail(self, failure: Failure, cause: Notice, *, target: bytes = b"") -> None:
        """End the job without a result. `target` is the address it was about, b"" if not shown."""
        if self.final is None:
            self._finish(self._report.failed(failure, cause, target=target))

    def _finish(self, frame: Frame) -> None:
        self.final = frame
        self._unreported = None


def spec_of(job: Job, target: bytes) -> TraceSpec:
    """The trace of a job to one of its addresses."""
    return TraceSpec(
        target=target,
        packet_type=job.packet_type,
        max_ttl=job.max_ttl,
        packets_per_ttl=job.packets_per_ttl,
        wait_ns=job.wait_ms * 1_000_000,
        port=job.port,
        flow=job.flow,
    )
