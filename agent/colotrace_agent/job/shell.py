"""The shell of one job: look-ups, traces on the prober and timers around its machine."""

import asyncio
import contextlib
from collections.abc import Callable, Sized
from functools import partial

from colotrace_proto.messages import Failure, Frame, Job
from colotrace_proto.notices import Notice, NoticeCode

from colotrace_agent.engine.identity import NoFlowLeftError
from colotrace_agent.engine.limits.shares import Share
from colotrace_agent.engine.notices import cannot_start
from colotrace_agent.engine.trace import Trace
from colotrace_agent.host.resolve import Resolver, UnresolvableError
from colotrace_agent.policy import Barred, Policy
from colotrace_agent.prober import Prober

from .machine import JobMachine

Emit = Callable[[Frame], None]
Progress = Callable[[], Frame | None]
"""Makes a frame of what is new by then; None if the job has ended meanwhile."""


class JobShell:
    """A job under way."""

    def __init__(
        self,
        job: Job,
        *,
        prober: Prober,
        resolver: Resolver,
        policy: Policy,
        ready: Callable[[Progress], object],
        end: Emit,
        addresses: list[bytes] | None = None,
        among: Sized = (),
        consent_s: float = 0.0,
    ) -> None:
        """`ready` gets a function that makes the next progress frame, to be called once there is
        room for it. `end` gets the last frame, which has the outcome, and every reply that no
        progress frame has. `addresses` are the target's that the policy has allowed already; by
        default the target is looked up, by a task of its own. `among` are the jobs that run at the
        same time. `consent_s`: how long a job that has looked up its target waits for
        `acknowledged` before it probes; 0 if it does not report the address before.
        """
        self._job = job
        self._prober = prober
        self._resolver = resolver
        self._policy = policy
        self._ready = ready
        self._end = end
        self._share: Share[Trace] = Share(job.owner)
        self._loop = asyncio.get_running_loop()
        self._machine = JobMachine(job, now=self._loop.time(), among=among)
        self._deadline = self._loop.call_at(
            self._machine.deadline, self.cut_short, Failure.DEADLINE
        )
        self._merging: asyncio.TimerHandle | None = None
        self._over = False
        self._consent_s = consent_s
        self._consent = asyncio.Event()
        self._beginning: asyncio.Task[None] | asyncio.Handle | None
        if addresses is None:
            self._beginning = asyncio.create_task(self._resolve(), name=f"job {job.job_id}")
        else:
            self._beginning = self._loop.call_soon(self._begin, addresses)

    def acknowledged(self) -> None:
        """The coordinator has a frame of the job, and wants the job to go on."""
        self._consent.set()

    def cut_short(self, failure: Failure) -> None:
        """End the job with what there is, because of that failure."""
        for trace in self._machine.cut_short(failure):
            self._prober.stop(trace)
        if self._beginning is not None and self._machine.final is not None:
            self._beginning.cancel()
        self._finish_if_over()

    async def _resolve(self) -> None:
        target = self._job.target
        try:
            found = await self._resolver.addresses(target, family=self._job.family)
            allowed = self._policy.judge(target, found)
        except UnresolvableError as error:
            self._fail(Failure.UNRESOLVABLE, error.notice)
        except Exception as error:  # noqa: BLE001 - a fault in one job must not end the agent
            self._fault(error)
        else:
            if isinstance(allowed, Barred):
                self._fail(allowed.failure, allowed.cause, target=allowed.address)
            else:
                await self._ask(allowed[0])
                self._begin(allowed)

    async def _ask(self, address: bytes) -> None:
        """Report the address of the target's name, and wait for the coordinator's answer: it bounds
        the packets to one address, and may cancel the job instead."""
        if not self._consent_s:
            return
        self._ready(partial(self._machine.resolved, address))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._consent_s):
                await self._consent.wait()

    def _begin(self, addresses: list[bytes]) -> None:
        self._beginning = None
        try:
            self._machine.begin(addresses)
            self._start_due()
        except Exception as error:  # noqa: BLE001 - as above
            self._fault(error)

    def _start_due(self) -> None:
        """Start the traces that are due; finish the job if that ended it."""
        machine = self._machine
        while specs := machine.due(self._loop.time()):
            for spec in specs:
                try:
                    trace = self._prober.start(spec, self._changed, share=self._share)
                except (OSError, NoFlowLeftError) as error:
                    machine.not_started(spec, cannot_start(self._job.target, error))
                else:
                    machine.started(trace)
        self._finish_if_over()

    def _changed(self, trace: Trace) -> None:
        """A trace has changed. A fault ends this job, not the turn that all traces share."""
        if self._over:
            return
        try:
            report_at = self._machine.changed(trace)
            if trace.ended is not None:
                self._start_due()
            if report_at is None or self._over:
                return
            if report_at <= self._loop.time():
                self._report()
            else:
                self._merging = self._loop.call_at(report_at, self._report)
        except Exception as error:  # noqa: BLE001 - as above
            self._fault(error)

    def _report(self) -> None:
        self._merging = None
        self._ready(self._progress)

    def _progress(self) -> Frame | None:
        return self._machine.progress(self._loop.time())

    def _fault(self, error: Exception) -> None:
        from structlog import get_logger  # it takes a while to load, and is seldom needed

        get_logger().error("a job failed", job=self._job.job_id, exc_info=error)
        self._fail(Failure.INTERNAL, Notice(NoticeCode.AGENT_FAULT, name=type(error).__name__))
        # Not at once: the prober may be in the middle of a turn.
        self._loop.call_soon(self._abandon)

    def _abandon(self) -> None:
        """Send nothing more."""
        for trace in self._machine.traces:
            if trace.ended is None:
                self._prober.stop(trace)

    def _fail(self, failure: Failure, cause: Notice, *, target: bytes = b"") -> None:
        self._machine.fail(failure, cause, target=target)
        self._finish_if_over()

    def _finish_if_over(self) -> None:
        frame = self._machine.final
        if frame is None or self._over:
            return
        self._over = True
        self._deadline.cancel()
        if self._merging is not None:
            self._merging.cancel()
        self._end(frame)
