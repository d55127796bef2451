"""One job's life: its target resolved and checked, traced, and reported in frames."""

import asyncio
from collections.abc import Callable, Sized

from colotrace_proto.messages import Failure, Frame, Job, JobId
from colotrace_proto.notices import Notice, NoticeCode

from colotrace_agent.engine.engine import Account
from colotrace_agent.engine.identity import NoFlowLeftError
from colotrace_agent.engine.multipath.several import Several, specs_of
from colotrace_agent.engine.notices import cannot_start, notices
from colotrace_agent.engine.trace import Trace
from colotrace_agent.host.resolve import Resolver, UnresolvableError, parse_address
from colotrace_agent.model import TraceSpec
from colotrace_agent.policy import Barred, candidates
from colotrace_agent.prober import Listener, Prober

from .frames import Report, Traced

Emit = Callable[[Frame], None]
Progress = Callable[[], Frame | None]
"""Makes a frame of what is new by then; None where the job has ended meanwhile."""

# Progress is merged for that long, a job's first and last news are not. Where so many jobs run that
# they would tell of it more often than that in all, it is for longer, the first too: most of them
# are at their end before.
MERGE_S = 0.05
PROGRESS_RATE = 400

# More flows begin only while so many times the longest wait for an answer is left.
_WAITS_LEFT = 2

_TOO_EARLY = {
    Failure.CANCELLED: NoticeCode.CANCELLED_EARLY,
    Failure.DEADLINE: NoticeCode.DEADLINE_EARLY,
}


class JobRun:
    """A job under way. Frames come out through `emit`, the last one with an outcome.

    There may be ten thousand: hence slots, and no task where there is no name to ask for.
    """

    __slots__ = (
        "_account",
        "_allow_private",
        "_among",
        "_beginning",
        "_cut_short",
        "_deadline",
        "_emit",
        "_emitted_at",
        "_end",
        "_job",
        "_loop",
        "_merging",
        "_news",
        "_over",
        "_prober",
        "_ready",
        "_report",
        "_resolver",
        "_several",
        "_tell_over",
        "_under_way",
    )

    def __init__(
        self,
        job: Job,
        *,
        prober: Prober,
        resolver: Resolver,
        allow_private: bool,
        emit: Emit,
        ready: Callable[[Progress], None] | None = None,
        over: Callable[[JobId], object] | None = None,
        among: Sized = (),
    ) -> None:
        """`ready` is given what makes the next frame of progress, for whenever there is room for
        it; without, that comes through `emit` too. `over` is told of the job's end, before its
        last frame is out; `among` are the jobs that run at the same time."""
        self._job = job
        self._prober = prober
        self._resolver = resolver
        self._allow_private = allow_private
        self._emit = emit
        self._ready = ready
        self._tell_over = over
        self._among = among
        self._report = Report(job.job_id)
        self._loop = asyncio.get_running_loop()
        self._under_way: list[Trace] = []
        self._several: Several | None = None
        self._account = Account()
        self._cut_short = Failure.NONE
        self._merging: asyncio.TimerHandle | None = None
        self._news: Traced | None = None
        self._emitted_at = self._loop.time() - MERGE_S
        self._over = False
        self._end: asyncio.Future[None] | None = None
        deadline = self._loop.time() + job.remaining_ms / 1e3
        self._deadline = self._loop.call_at(deadline, self.cut_short, Failure.DEADLINE)
        self._beginning: asyncio.Task[None] | asyncio.Handle | None
        address = parse_address(job.target)
        if address is None:
            self._beginning = asyncio.create_task(self._resolve(), name=f"job {job.job_id}")
        else:
            self._beginning = self._loop.call_soon(self._begin, [address])

    async def ended(self) -> None:
        """Returns once the last frame is out."""
        if self._over:
            return
        if self._end is None:
            self._end = self._loop.create_future()
        await asyncio.shield(self._end)

    def cut_short(self, failure: Failure) -> None:
        """Ends the job with what there is, because of that failure."""
        if self._over or self._cut_short is not Failure.NONE:
            return
        self._cut_short = failure
        if not self._under_way:
            if self._beginning is not None:
                self._beginning.cancel()
            self._fail(failure, Notice(_TOO_EARLY[failure]))
            return
        if self._several is not None:
            self._several.stop()
        for trace in list(self._under_way):
            self._prober.stop(trace)

    async def _resolve(self) -> None:
        try:
            addresses = await self._resolver.addresses(self._job.target)
        except UnresolvableError as error:
            self._fail(Failure.UNRESOLVABLE, error.notice)
        except Exception as error:  # noqa: BLE001 - one job's fault must not end the agent
            self._fault(error)
        else:
            self._begin(addresses)

    def _begin(self, addresses: list[bytes]) -> None:
        self._beginning = None
        try:
            self._start(addresses)
        except Exception as error:  # noqa: BLE001 - as above
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        from structlog import get_logger  # it takes a while to load, and is seldom needed

        get_logger().error("a job failed", job=self._job.job_id, exc_info=error)
        self._fail(Failure.INTERNAL, Notice(NoticeCode.AGENT_FAULT, name=type(error).__name__))
        # Not at once: the prober may be in the middle of a turn.
        self._loop.call_soon(self._abandon)

    def _abandon(self) -> None:
        """Send nothing more."""
        for trace in list(self._under_way):
            if trace.ended is None:
                self._prober.stop(trace)

    def _start(self, addresses: list[bytes]) -> None:
        chosen = candidates(
            self._job.target,
            addresses,
            families=self._prober.families,
            allow_private=self._allow_private,
        )
        if isinstance(chosen, Barred):
            self._fail(chosen.failure, chosen.cause, target=chosen.address)
            return
        troubles = []
        for target in chosen:
            trouble = self._start_to(target)
            if trouble is None:
                return
            troubles.append(trouble)
        self._fail(Failure.SEND, troubles[0], target=chosen[0])

    def _start_to(self, target: bytes) -> Notice | None:
        """Starts the job's traces to that address; returns why there can be none."""
        specs = specs_of(_spec(self._job, target))
        if len(specs) == 1 and not self._job.multipath:
            return self._begin_trace(specs[0], self._changed)
        self._several = Several(specs, multipath=self._job.multipath)
        self._begin_due(self._several)
        if self._several.done and not self._several.started:
            return self._several.notices[0]
        return None

    def _begin_trace(self, spec: TraceSpec, listener: Listener) -> Notice | None:
        """Starts a trace; returns why it cannot start."""
        try:
            trace = self._prober.start(spec, self._guarded(listener), account=self._account)
        except (OSError, NoFlowLeftError) as error:
            return cannot_start(self._job.target, error)
        self._under_way.append(trace)
        if self._several is not None:
            self._several.begun(trace)
        return None

    def _guarded(self, listener: Listener) -> Listener:
        """Has a fault in the listener end this job, and not the turn that all traces share."""

        def guarded(trace: Trace) -> None:
            if self._over:
                return
            try:
                listener(trace)
            except Exception as error:  # noqa: BLE001 - as above
                self._fault(error)

        return guarded

    def _changed(self, trace: Trace) -> None:
        """The job's only trace has news."""
        if trace.ended is not None:
            self._finish(self._report.final(trace, self._cut_short, notices=notices(trace)))
        else:
            self._merge(trace)

    def _one_changed(self, trace: Trace) -> None:
        """One of several traces has news: they are told when it has ended."""
        if trace.ended is None or self._several is None:
            return
        self._under_way.remove(trace)
        self._several.took(trace)
        self._go_on(self._several)

    def _go_on(self, several: Several) -> None:
        """Begins the traces that are due; once none is left, that was the job."""
        self._begin_due(several)
        if not several.done:
            if several.replies:
                self._merge(several)
        else:
            several.settle()
            links, said = several.links, several.notices
            self._finish(self._report.final(several, self._cut_short, links=links, notices=said))

    def _begin_due(self, several: Several) -> None:
        left_s = self._deadline.when() - self._loop.time()
        if several.started and left_s < _WAITS_LEFT * self._job.wait_ms / 1e3:
            several.stop(Notice(NoticeCode.NO_TIME_FOR_FLOWS))
        for spec in several.due():
            trouble = self._begin_trace(spec, self._one_changed)
            if trouble is not None:
                several.missed(spec, trouble)

    def _merge(self, traced: Traced) -> None:
        if self._news is not None:
            return
        self._news = traced
        wait_s = self._emitted_at + self._merge_s() - self._loop.time()
        if wait_s <= 0:
            self._tell()
        else:
            self._merging = self._loop.call_later(wait_s, self._tell)

    def _merge_s(self) -> float:
        return max(MERGE_S, len(self._among) / PROGRESS_RATE)

    def _tell(self) -> None:
        self._merging = None
        if self._ready is not None:
            self._ready(self._progress)
        elif (frame := self._progress()) is not None:
            self._emit(frame)

    def _progress(self) -> Frame | None:
        if self._news is None:
            return None
        traced, self._news = self._news, None
        self._emitted_at = self._loop.time()
        return self._report.progress(traced)

    def _fail(self, failure: Failure, cause: Notice, *, target: bytes = b"") -> None:
        self._finish(self._report.failed(failure, cause, target=target))

    def _finish(self, frame: Frame) -> None:
        if self._over:
            return
        self._over = True
        self._deadline.cancel()
        if self._merging is not None:
            self._merging.cancel()
        self._news = None
        if self._end is not None:
            self._end.set_result(None)
        if self._tell_over is not None:
            self._tell_over(self._job.job_id)
        self._emit(frame)


def _spec(job: Job, target: bytes) -> TraceSpec:
    return TraceSpec(
        target=target,
        packet_type=job.packet_type,
        max_ttl=job.max_ttl,
        packets_per_ttl=job.packets_per_ttl,
        wait_ns=job.wait_ms * 1_000_000,
        port=job.port,
        flow=job.flow,
    )
