"""From a request to its answer: policy, jobs, rows.

`composition` builds the parts.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from colotrace_proto.hostnames import as_ascii
from colotrace_proto.measured import Options, Status, Summary
from colotrace_proto.messages import Family
from colotrace_proto.running import TimeLimit
from structlog.typing import FilteringBoundLogger

from .answer import Answers
from .colos.known import KnownColos
from .errors import StoppingError
from .fleet.registry import Registry
from .jobs.dispatcher import Dispatcher
from .jobs.fair import Origin
from .jobs.running import JobKey
from .jobs.task import Task
from .measurements.registry import Measurements
from .measurements.running import Running
from .metrics import Metrics
from .model import LATE, AgentStatus, Answer, ColoStatus, TraceRequest
from .policy import TargetPolicy, literal
from .turns import Turns

MANY_ROWS = 300
"""From so many running rows on, turns of the event loop are shared between requests."""
ROWS_AT_ONCE = 20
"""Rows whose jobs are begun in one step."""


class TraceService:
    """The `Tracer` that asks real agents. Build it inside a running event loop."""

    def __init__(
        self,
        *,
        registry: Registry,
        dispatcher: Dispatcher,
        answers: Answers,
        measurements: Measurements,
        policy: TargetPolicy,
        metrics: Metrics,
        turns: Turns,
        log: FilteringBoundLogger,
        limit: TimeLimit = asyncio.timeout,
    ) -> None:
        """`limit` bounds the time of a measurement that goes on by itself."""
        self._log = log.bind()
        self._limit = limit
        self._detached_tasks: set[asyncio.Task[None]] = set()
        self._turns = turns
        self._registry = registry
        self._dispatcher = dispatcher
        self._answers = answers
        self._measurements = measurements
        self._policy = policy
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._stopping = False
        self._requests = 0
        self._rows = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def known_colos(self) -> KnownColos:
        """All known colos."""
        return self._registry.known

    def colos(self) -> Sequence[ColoStatus]:
        """The state of every known colo, by name."""
        return self._registry.colos()

    async def agents(self) -> AsyncIterator[AgentStatus]:
        """The attached agents by colo and id, a few in each turn of the event loop."""
        for status in self._registry.every_agent():
            yield status
            await self._turns.pause()

    async def trace(self, request: TraceRequest) -> Answer:
        """The whole answer, within `deadlines.ANSWER_S`. Cancelling the call ends the measurement,
        and its jobs; the message `LATE` of the cancellation says that it was too late.

        Raises:
            StoppingError: `drain` has been called.
        """
        return await self._run(self._open(request), request)

    def start(
        self, request: TraceRequest, *, within_s: float, ended: Callable[[], None]
    ) -> Summary:
        """Begin a measurement that goes on by itself, for `within_s` at most; `ended` is called
        once it has ended.

        Raises:
            StoppingError: `drain` has been called.
        """
        run = self._open(request)
        task = asyncio.create_task(self._detached(run, request, within_s), name="measurement")
        self._detached_tasks.add(task)
        task.add_done_callback(self._detached_tasks.discard)
        task.add_done_callback(lambda _: ended())
        return run.summary

    @property
    def rows(self) -> int:
        """Rows of all requests that run."""
        return self._rows

    async def drain(self) -> None:
        """Refuse new requests, and wait until the running ones have their answers."""
        self._stopping = True
        if self._detached_tasks:
            await asyncio.wait(self._detached_tasks)
        await self._idle.wait()

    def _open(self, request: TraceRequest) -> Running:
        if self._stopping:
            raise StoppingError("the coordinator is stopping")
        origin = Origin(request.account_id, request.caller, next(self._numbers))
        return self._measurements.open(request, origin)

    async def _detached(self, run: Running, request: TraceRequest, within_s: float) -> None:
        task = asyncio.create_task(self._run(run, request), name="detached-measurement")
        try:
            async with self._limit(within_s):
                await asyncio.wait([task])
        except TimeoutError:
            self._log.warning("measurement_late", measurement=run.initial.id)
            task.cancel(LATE)
            await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("measurement_failed", measurement=run.initial.id, exc_info=error)

    async def _run(self, run: Running, request: TraceRequest) -> Answer:
        with self._counted(run.initial.rows):
            try:
                answer = await self._measure(run, request)
            except BaseException as error:
                gone = isinstance(error, asyncio.CancelledError) and error.args != (LATE,)
                self._measurements.abandon(run, Status.CANCELLED if gone else Status.PARTIAL)
                raise
            status = Status.CANCELLED if run.withdrawn else Status.COMPLETE
            self._measurements.close(run, status, answer.measured.known)
        return replace(answer, measured=run.measured())

    @contextmanager
    def _counted(self, rows: int) -> Iterator[None]:
        began_at = self._loop.time()
        self._count(rows)
        self._requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._metrics.answer_seconds.observe(self._loop.time() - began_at)
            self._count(-rows)
            self._requests -= 1
            if self._requests == 0:
                self._idle.set()

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._turns.share(large=self._rows >= MANY_ROWS)

    async def _measure(self, run: Running, request: TraceRequest) -> Answer:
        rows, width = run.initial.rows, len(request.colos)
        # A target that is named twice is traced once.
        named: dict[str, list[int]] = {}
        for index, target in enumerate(request.targets):
            named.setdefault(target, []).append(index)
        options = request.options
        refusals = {target: self._policy.refusal(target, family=options.family) for target in named}
        asked = {target: _asked(target, options) for target in named}
        begun = 0
        # All targets of a colo together: what is due for one agent goes in one message.
        for place, colo in enumerate(request.colos):
            for target, indexes in named.items():
                numbers = [index * width + place for index in indexes]
                if (refusal := refusals[target]) is not None:
                    run.refuse(numbers, refusal)
                    continue
                key = JobKey(request.account_id, Task(colo, *asked[target]))
                run.begin(
                    numbers,
                    self._dispatcher.begin(key, run.origin, rows=rows, spent_s=request.spent_s),
                )
                begun += 1
            if begun >= ROWS_AT_ONCE:
                begun = 0
                await self._turns.pause()
        await asyncio.wait([run.rows_done])
        return await self._answers.build(run.summary, run.traces, run.origin)


def _asked(target: str, options: Options) -> tuple[str, Options, Family | None]:
    """The target as agents are asked for it, with its options and the family of its addresses."""
    address = literal(target)
    if address is None:
        return as_ascii(target), options, options.family
    # An address has its family: jobs are identical whether that was asked for or not.
    return as_ascii(target), options._replace(family=None), Family(address.version)
