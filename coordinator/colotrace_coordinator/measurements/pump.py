"""Fills the feed of a measurement that runs here, while somebody follows it.

A frame of an agent marks its row. Marked rows are computed together, at once after a silence and
then every `EVERY_S`: so a row costs as much with a hundred frames a second as with ten.
"""

import asyncio
import math
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from colotrace_proto import rows, tally
from colotrace_proto.deadlines import NAMES_S
from colotrace_proto.measured import Trace

from colotrace_coordinator.answer import PIECE_ROWS, Answers
from colotrace_coordinator.jobs.running import Ticket
from colotrace_coordinator.live.feed import Feed, Kind
from colotrace_coordinator.live.told import Told
from colotrace_coordinator.model import Message
from colotrace_coordinator.turns import Turns

from .events import end_event, hops_event, message_event, row_event, start_event
from .running import Running

EVERY_S = 0.1


class Pump:
    """The `Watcher` of a running measurement. Build it inside a running event loop."""

    def __init__(
        self, run: Running, answers: Answers, *, turns: Turns, every_s: float = EVERY_S
    ) -> None:
        self.feed = Feed()
        self._run = run
        self._answers = answers
        self._turns = turns
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        # Rows with a new frame, and rows with names that are still looked up, by the first row's
        # number; rows that have ended, with the time up to which their names are waited for.
        self._marked: dict[int, None] = {}
        self._unnamed: dict[int, None] = {}
        self._ended: dict[int, float] = {}
        self._told: dict[int, Told] = {}
        self._closed = False
        self._next: asyncio.Handle | None = None
        self._pumping = False
        self._pumped_at = -math.inf
        self.feed.put(Kind.START, start_event(run.summary))
        run.watcher = self
        for number in run.traces:
            self.row_ended(number)
        for number, ticket in run.tickets.items():
            self.begun(number, ticket)
            self._mark(number)

    def begun(self, number: int, ticket: Ticket) -> None:
        """A job has begun; `number` is that of its first row."""
        ticket.watch(partial(self._mark, number))

    def row_ended(self, number: int) -> None:
        """A row has ended."""
        self._ended[number] = self._loop.time() + NAMES_S
        self._soon()

    def end(self) -> None:
        """The measurement has ended."""
        self._closed = True
        self._soon()

    def _mark(self, number: int) -> None:
        self._marked[number] = None
        self._soon()

    def _soon(self) -> None:
        if self._next is None and not self._pumping:
            wait_s = self._pumped_at + self._every_s - self._loop.time()
            if wait_s > 0 and not self._closed:
                self._next = self._loop.call_later(wait_s, self._pump)
            else:
                self._next = self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._next, self._pumping = None, True
        self._pumped_at = self._loop.time()
        self._turns.soon(self._steps()).add_done_callback(self._pumped)

    def _pumped(self, done: "asyncio.Future[None]") -> None:
        self._pumping = False
        if not done.cancelled() and (error := done.exception()) is not None:
            self.feed.close()
            raise error
        if not self.feed.ended and (self._marked or self._unnamed or self._ended or self._closed):
            self._soon()

    def _steps(self) -> Iterator[None]:
        """Put what is new. Each step is some 2 ms."""
        closed = self._closed
        marked, self._marked = {**self._marked, **self._unnamed}, {}
        self._unnamed = {}
        for numbers in _pieces(marked):
            self._put_hops([number for number in numbers if number in self._run.tickets])
            yield
        ended, self._ended = self._ended, {}
        for numbers in _pieces(ended):
            self._put_rows({number: ended[number] for number in numbers}, closed=closed)
            yield
        if closed and not self._ended:
            self.feed.put(Kind.END, end_event(self._run.summary))

    def _put_hops(self, numbers: list[int]) -> None:
        traces = [self._run.so_far(number) for number in numbers]
        for number, (row, unnamed) in zip(numbers, self._shown(traces), strict=True):
            if unnamed:
                self._unnamed[number] = None
            for same in self._run.same_rows(number):
                self._put_changed(same, row)

    def _put_rows(self, until: dict[int, float], *, closed: bool) -> None:
        traces = [self._run.traces[number] for number in until]
        now = self._loop.time()
        for number, (row, unnamed) in zip(until, self._shown(traces), strict=True):
            if unnamed and now < until[number] and not closed:
                self._ended[number] = until[number]
                self._put_changed(number, row)
                continue
            self._told.pop(number, None)
            self.feed.put(Kind.ROW, row_event(self._run.initial, number, row), row=number)
            target, colo = self._run.initial.place(number)
            for remark in self._run.traces[number].remarks:
                message = Message(remark.code, remark.text, f"/result/{target}/colos/{colo}")
                self.feed.put(Kind.MESSAGE, message_event(message))

    def _shown(self, traces: list[Trace]) -> list[tuple[rows.ColoRow, bool]]:
        """The rows as far as names are known, and whether some are still looked up."""
        if not traces:
            return []
        batch = tally.Batch([trace.gathered for trace in traces])
        known, awaited = self._answers.known_now(batch.addresses())
        found = batch.colo_rows(known)
        return [(row, bool(awaited) and _has(row, awaited)) for row in found]

    def _put_changed(self, number: int, row: rows.ColoRow) -> None:
        news = self._told.setdefault(number, Told()).news(row)
        if news is not None:
            self.feed.put(Kind.HOPS, hops_event(self._run.initial, number, news), row=number)


def _has(row: rows.ColoRow, addresses: set[str]) -> bool:
    return any(node.ip in addresses for hop in row.hops for node in hop.nodes)


def _pieces(numbers: Iterable[int]) -> Iterator[list[int]]:
    left = iter(numbers)
    while piece := list(islice(left, PIECE_ROWS)):
        yield piece
