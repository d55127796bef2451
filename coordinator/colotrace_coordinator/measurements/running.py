"""A measurement that runs here: its rows as they end, and how it ends itself."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from colotrace_proto.measured import Measured, Status, Summary, Trace
from colotrace_proto.rows import Colo
from colotrace_proto.tally import NOTHING_KNOWN, Known
from msgspec.structs import replace

from colotrace_coordinator.jobs import faults
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.jobs.running import Ticket
from colotrace_coordinator.jobs.task import JobResult

from .recording import recorded


class Watcher(Protocol):
    """Receives the progress of a measurement while a client follows it."""

    def begun(self, number: int, ticket: Ticket) -> None:
        """A job has begun; `number` is that of its first row."""

    def row_ended(self, number: int) -> None:
        """A row has ended."""


RowEnded = Callable[["Running", int, Trace], None]
"""Called with each row that ends, and its number."""


class Running:
    """A measurement that runs here. Build it inside a running event loop.

    `rows_done` is done once all rows have ended, whatever the reason.
    """

    def __init__(
        self,
        summary: Summary,
        origin: Origin,
        *,
        colos: Sequence[Colo],
        now_ms: Callable[[], int],
        row_ended: RowEnded,
    ) -> None:
        """`colos`: those of the summary, with their cities."""
        self.initial = summary
        """The summary as it was at the start."""
        self.origin = origin
        self.traces: dict[int, Trace] = {}
        """The rows that have ended, by number."""
        self.tickets: dict[int, Ticket] = {}
        """The jobs of the rows that have not, by the number of their first row."""
        self.rows_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once its answer has been put together, or nobody waits for one."""
        self.status = Status.RUNNING
        self.withdrawn = False
        """Whether it was asked to end early."""
        self.known = NOTHING_KNOWN
        self.watcher: Watcher | None = None
        self._ended_ms: int | None = None
        self._failed = self._unreached = 0
        self._colos = colos
        self._now_ms = now_ms
        self._row_ended = row_ended

    @property
    def summary(self) -> Summary:
        """The summary of its present state."""
        return replace(
            self.initial,
            status=self.status,
            ended_ms=self._ended_ms,
            finished=len(self.traces),
            failed=self._failed,
            unreached=self._unreached,
        )

    def measured(self, unfinished: Mapping[int, Trace] | None = None) -> Measured:
        """All of it, with the rows so far of those that have not ended."""
        traces = {**(unfinished or {}), **self.traces}
        return Measured(summary=self.summary, traces=traces, known=self.known)

    def refuse(self, numbers: Sequence[int], words: str) -> None:
        """These rows, which are of one target and colo, are not traced."""
        self._record(numbers, words)

    def begin(self, numbers: Sequence[int], ticket: Ticket) -> None:
        """The job of these rows, which are of one target and colo, has begun."""
        if self.withdrawn:
            result = ticket.withdrawn(faults.withdrawn())
            ticket.leave()
            self._record(numbers, result)
            return
        self.tickets[numbers[0]] = ticket
        if self.watcher is not None:
            self.watcher.begun(numbers[0], ticket)
        ticket.done.add_done_callback(partial(self._job_ended, numbers))

    def so_far(self, number: int) -> Trace:
        """The row of a job that has not ended, as it is now; see `Attempts.so_far`."""
        ticket = self.tickets[number]
        return self._recorded(number, ticket.so_far())

    def withdraw(self) -> Iterator[None]:
        """Ask it to end early; returns the steps, each of which ends a row with what there is."""
        self.withdrawn = True
        return self._withdraw_rows()

    def _withdraw_rows(self) -> Iterator[None]:
        for first, ticket in list(self.tickets.items()):
            if self.tickets.pop(first, None) is not None:
                result = ticket.withdrawn(faults.withdrawn())
                ticket.leave()
                self._record(self.same_rows(first), result)
            yield

    def close(self, status: Status, known: Known) -> None:
        """It has ended."""
        self.status, self.known, self._ended_ms = status, known, self._now_ms()
        self.finished.set_result(None)

    def _job_ended(self, numbers: Sequence[int], done: "asyncio.Future[JobResult]") -> None:
        ticket = self.tickets.pop(numbers[0], None)
        if ticket is not None:
            ticket.leave()
            self._record(numbers, done.result())

    def same_rows(self, first: int) -> list[int]:
        """The rows of the same target and colo: a target may be named twice."""
        target, colo = self.initial.place(first)
        targets, width = self.initial.targets, len(self.initial.colos)
        same = (n for n, each in enumerate(targets) if each == targets[target])
        return [n * width + colo for n in same]

    def _recorded(self, number: int, result: JobResult | str) -> Trace:
        target, colo = self.initial.place(number)
        return recorded(
            result,
            target=self.initial.targets[target],
            colo=self._colos[colo],
            options=self.initial.options,
            now_ms=self._now_ms(),
        )

    def _record(self, numbers: Sequence[int], result: JobResult | str) -> None:
        trace = self._recorded(numbers[0], result)
        for number in numbers:
            self.traces[number] = trace
            if trace.gathered.code:
                self._failed += 1
            elif not trace.reached:
                self._unreached += 1
            self._row_ended(self, number, trace)
            if self.watcher is not None:
                self.watcher.row_ended(number)
        if len(self.traces) == self.initial.rows and not self.rows_done.done():
            self.rows_done.set_result(None)
