"""All measurements: those that run here, those of other coordinators, and those that are kept."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from colotrace_analysis import diff, graph
from colotrace_analysis.diff import Diff
from colotrace_analysis.graph import Graph
from colotrace_analysis.merging import By
from colotrace_analysis.work import Work
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Measured, Status, Summary, Trace
from colotrace_proto.messages import ColoName
from colotrace_proto.tally import NOTHING_KNOWN, Known
from msgspec.structs import replace

from colotrace_coordinator.answer import Answers
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.live.feed import Feed
from colotrace_coordinator.model import Answer, Filter, TraceRequest
from colotrace_coordinator.turns import Turns

from .elsewhere import Elsewhere
from .ids import Ids, began_ms
from .keeping import History, Relay
from .pump import Pump
from .replay import recorded_feed
from .running import Running

T = TypeVar("T")

ANALYSES_AT_ONCE = 2
"""Graphs and comparisons that are computed at once; one of wide rows takes 50 MB."""

_CANCELLED_WITHIN_S = 2.0
"""How long a cancellation is waited for: names are looked up before a measurement ends."""


class Measurements:
    """Begins and ends measurements, and finds them. `history` is None if none is kept, `relay` is
    None without other coordinators."""

    def __init__(
        self,
        answers: Answers,
        *,
        coordinator: str,
        turns: Turns,
        history: History | None = None,
        relay: Relay | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`coordinator` identifies this process; `now_ms` is Unix time in milliseconds, `clock` is
        monotonic, in seconds."""
        self._answers = answers
        self._coordinator = coordinator
        self._turns = turns
        self._history = history
        self._elsewhere = Elsewhere(history, relay, now_ms=now_ms)
        self._clock = clock
        self._ids = Ids(now_ms)
        self._running: dict[str, Running] = {}
        self._pumps: dict[str, Pump] = {}
        self._analyses = asyncio.Semaphore(ANALYSES_AT_ONCE)

    def __len__(self) -> int:
        """Measurements that run here."""
        return len(self._running)

    # Those that run here

    def open(self, request: TraceRequest, origin: Origin) -> Running:
        """A measurement begins, at the time of its id, by which it is found. Its other times count
        from there, so that it does not end before its begin if the wall clock is set back."""
        measurement_id = self._ids.new()
        began, began_at = began_ms(measurement_id), self._clock()
        summary = Summary(
            id=measurement_id,
            account_id=request.account_id,
            caller=request.caller,
            coordinator=self._coordinator,
            status=Status.RUNNING,
            began_ms=began,
            ended_ms=None,
            targets=request.targets,
            colos=request.colos,
            options=request.options,
        )
        run = Running(
            summary,
            origin,
            colos=[self._answers.colo(name) for name in request.colos],
            now_ms=lambda: began + round((self._clock() - began_at) * 1_000),
            row_ended=self._row_ended,
        )
        self._running[summary.id] = run
        if self._history is not None:
            self._history.begun(summary)
        return run

    def close(self, run: Running, status: Status, known: Known) -> None:
        """A measurement has ended."""
        run.close(status, known)
        del self._running[run.initial.id]
        if self._history is not None:
            self._history.ended(run.summary, known)
        if (pump := self._pumps.pop(run.initial.id, None)) is not None:
            pump.end()

    def withdraw(self, run: Running) -> None:
        """End a measurement early, with what there is; `run.rows_done` is done then."""
        if not run.withdrawn:
            self._turns.soon(run.withdraw())

    def abandon(self, run: Running, status: Status) -> None:
        """End a measurement that nobody waits for."""

        rows = run.withdraw()

        def steps() -> Iterator[None]:
            yield from rows
            self.close(run, status, NOTHING_KNOWN)

        self._turns.soon(steps())

    def _row_ended(self, run: Running, number: int, trace: Trace) -> None:
        if self._history is not None:
            self._history.row(run.initial, number, trace)

    def feed_here(self, account_id: str, measurement_id: str) -> Feed | None:
        """The events of a measurement that runs here; None if it does not."""
        run = self._here(account_id, measurement_id)
        if run is None:
            return None
        pump = self._pumps.get(measurement_id)
        if pump is None:
            pump = self._pumps[measurement_id] = Pump(run, self._answers, turns=self._turns)
        return pump.feed

    def cancel_here(self, account_id: str, measurement_id: str) -> bool:
        """Whether the measurement runs here; it ends with what there is then."""
        run = self._here(account_id, measurement_id)
        if run is not None:
            self.withdraw(run)
        return run is not None

    def _here(self, account_id: str, measurement_id: str) -> Running | None:
        run = self._running.get(measurement_id)
        return run if run is not None and run.initial.account_id == account_id else None

    # All of them

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        """A measurement of the account, without its rows."""
        run = self._here(account_id, measurement_id)
        if run is not None:
            return run.summary
        return await self._elsewhere.find(account_id, measurement_id)

    async def show(self, account_id: str, measurement_id: str) -> Answer | None:
        """A measurement of the account, as far as it has come."""
        measured = await self.measured(account_id, measurement_id)
        return None if measured is None else await self._answers.shown(measured)

    async def measured(self, account_id: str, measurement_id: str) -> Measured | None:
        """The same as it is recorded."""
        run = self._here(account_id, measurement_id)
        if run is not None:
            return await self._so_far(run)
        if self._history is None:
            return None
        return await self._history.show(account_id, measurement_id)

    async def newest(
        self, account_id: str, wanted: Filter, *, before: str | None, skip: int, most: int
    ) -> Sequence[Summary]:
        """The account's measurements, newest first; see `History`."""
        if self._history is None:
            return ()
        found = await self._history.newest(account_id, wanted, before=before, skip=skip, most=most)
        # What runs here is told as it is now.
        return [run.summary if (run := self._running.get(each.id)) else each for each in found]

    async def pair(
        self, account_id: str, target: str, colo: ColoName, *, up_to: str, most: int
    ) -> Sequence[Measured]:
        """The rows of a target and a colo; see `History`."""
        if self._history is None:
            return ()
        return await self._history.pair(account_id, target, colo, up_to=up_to, most=most)

    async def feed(self, account_id: str, measurement_id: str, *, position: int = 0) -> Feed | None:
        """The events of a measurement: of one that has ended, all at once. `position` is that of a
        client that resumes."""
        feed = self.feed_here(account_id, measurement_id)
        if feed is None:
            feed = await self._elsewhere.feed(account_id, measurement_id, position=position)
        if feed is None:
            answer = await self.show(account_id, measurement_id)
            feed = None if answer is None else await recorded_feed(answer)
        return feed

    async def cancel(self, account_id: str, measurement_id: str) -> bool:
        """Whether the measurement runs, and is cancelled."""
        run = self._here(account_id, measurement_id)
        if run is not None:
            self.withdraw(run)
            await asyncio.wait([run.finished], timeout=_CANCELLED_WITHIN_S)
            return True
        return await self._elsewhere.cancel(account_id, measurement_id)

    async def remove(self, account_id: str, measurement_id: str) -> bool:
        """Whether there was one that had ended, which is forgotten now."""
        return self._history is not None and await self._history.remove(account_id, measurement_id)

    async def graph(self, measured: Measured, *, target: str | None, by: By) -> Graph:
        """The merged paths of a target, or of all."""
        return await self._worked(graph.work(measured, target=target, by=by, with_fate=True))

    async def diff(self, before: Measured, after: Measured) -> Diff:
        """What differs between two measurements."""
        return await self._worked(diff.work(before, after))

    async def _worked(self, work: Work[T]) -> T:
        """The result of a computation that lets others have their turns."""
        async with self._analyses:
            await self._turns.run(work)
        return work.result

    async def _so_far(self, run: Running) -> Measured:
        """All of a measurement that runs here, with the names that are known now."""
        unfinished: dict[int, Trace] = {}
        for number in list(run.tickets):
            if number in run.tickets:
                unfinished[number] = run.so_far(number)
                await self._turns.pause()
        measured = run.measured(unfinished)
        addresses: set[bytes] = set()
        for trace in measured.traces.values():
            addresses.update(node.address for node in trace.gathered.replies.nodes)
            await self._turns.pause()
        texts = [address_text(address) for address in addresses]
        known, _ = self._answers.known_now(texts)
        return replace(measured, known=known)
