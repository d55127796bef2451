"""One job's life: its target resolved and checked, traced, and reported in frames."""

import asyncio
from collections.abc import Callable

import structlog
from colotrace_proto.messages import Failure, Frame, Job

from .engine.identity import NoFlowLeftError
from .engine.trace import Trace
from .model import TraceSpec, family_of
from .policy import refusal
from .report import Report
from .resolve import Resolver, UnresolvableError
from .runner import Prober

Emit = Callable[[Frame], None]

# Progress is merged for that long; a job's first and last news are not.
MERGE_S = 0.05

_log = structlog.get_logger()

_TOO_EARLY = {
    Failure.CANCELLED: "the job was taken back before its trace began",
    Failure.DEADLINE: "the job's time ran out before its trace began",
}


class JobRun:
    """A job under way. Frames come out through `emit`, the last one with an outcome."""

    def __init__(
        self, job: Job, *, prober: Prober, resolver: Resolver, allow_private: bool, emit: Emit
    ) -> None:
        self._job = job
        self._prober = prober
        self._resolver = resolver
        self._allow_private = allow_private
        self._emit = emit
        self._report = Report(job.job_id)
        self._loop = asyncio.get_running_loop()
        self._trace: Trace | None = None
        self._cut_short = Failure.NONE
        self._merging: asyncio.TimerHandle | None = None
        self._emitted_at = -MERGE_S
        self._ended = self._loop.create_future()
        deadline_s = job.remaining_ms / 1e3
        self._deadline = self._loop.call_later(deadline_s, self.cut_short, Failure.DEADLINE)
        self._resolving = asyncio.create_task(self._begin(), name=f"job {job.job_id}")

    async def ended(self) -> None:
        """Returns once the last frame is out."""
        await asyncio.shield(self._ended)

    def cut_short(self, failure: Failure) -> None:
        """Ends the job with what there is, because of that failure."""
        if self._ended.done() or self._cut_short is not Failure.NONE:
            return
        self._cut_short = failure
        if self._trace is not None:
            self._prober.stop(self._trace)
        else:
            self._resolving.cancel()
            self._fail(failure, _TOO_EARLY[failure])

    async def _begin(self) -> None:
        try:
            self._start_trace(await self._resolver.addresses(self._job.target))
        except UnresolvableError as error:
            self._fail(Failure.UNRESOLVABLE, str(error))
        except Exception as error:  # noqa: BLE001 - one job's fault must not end the agent
            _log.exception("a job failed", job=self._job.job_id)
            self._fail(Failure.INTERNAL, f"a fault of the agent's own: {type(error).__name__}")

    def _start_trace(self, addresses: list[bytes]) -> None:
        families = self._prober.families
        usable = [address for address in addresses if family_of(address) in families]
        if not usable:
            found = " and ".join(sorted({f"IPv{family_of(address)}" for address in addresses}))
            detail = f"{self._job.target} has only {found} addresses, which the agent cannot send"
            self._fail(Failure.NO_FAMILY, detail, target=addresses[0])
            return
        target = usable[0]
        forbidden = refusal(target, allow_private=self._allow_private)
        if forbidden is not None:
            self._fail(Failure.POLICY, forbidden, target=target)
            return
        try:
            self._trace = self._prober.start(_spec(self._job, target), self._changed)
        except OSError as error:
            detail = f"the agent cannot send to {self._job.target}: {error.strerror}"
            self._fail(Failure.SEND, detail, target=target)
        except NoFlowLeftError as error:
            self._fail(Failure.SEND, str(error), target=target)

    def _changed(self, trace: Trace) -> None:
        if trace.ended is not None:
            self._finish(self._report.final(trace, self._cut_short))
        elif self._merging is None:
            wait_s = self._emitted_at + MERGE_S - self._loop.time()
            if wait_s <= 0:
                self._progress(trace)
            else:
                self._merging = self._loop.call_later(wait_s, self._progress, trace)

    def _progress(self, trace: Trace) -> None:
        self._merging = None
        self._emitted_at = self._loop.time()
        self._emit(self._report.progress(trace))

    def _fail(self, failure: Failure, detail: str, *, target: bytes = b"") -> None:
        self._finish(self._report.failed(failure, detail, target=target))

    def _finish(self, frame: Frame) -> None:
        if self._ended.done():
            return
        self._deadline.cancel()
        if self._merging is not None:
            self._merging.cancel()
        self._ended.set_result(None)
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
