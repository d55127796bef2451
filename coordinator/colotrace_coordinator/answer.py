"""The answer of a measurement: a row for each target and colo, and messages about them.

Rows are recorded first (`recorded`). Everything of an answer is put together from the records, for
a request and for a measurement of the past alike: host names, ASNs, messages, and the statistics
(`colotrace_proto.tally`).
"""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from colotrace_proto import rows, tally
from colotrace_proto.addresses import address_text
from colotrace_proto.codes import RowCode, row_failed
from colotrace_proto.deadlines import NAMES_S
from colotrace_proto.measured import Measured, Remark, Status, Summary, Trace
from colotrace_proto.messages import ColoName, Frame

from .enrich.asn import AsnTable
from .enrich.names import Names
from .fleet.registry import Registry
from .jobs.fair import Origin
from .model import Answer, Message
from .turns import Turns

PIECE_ROWS = 25
"""Rows whose statistics are computed in one go: some 1.5 ms."""
_LOST_ROWS = {
    Status.CANCELLED: "the measurement was cancelled before this row ended",
    Status.PARTIAL: "the coordinator ended before this row did",
}
"""Why a row is missing, by the status of its measurement."""


class Answers:
    """Builds answers. `names` and `asns` are None if they are not to be looked up."""

    def __init__(
        self, *, registry: Registry, names: Names | None, asns: AsnTable | None, turns: Turns
    ) -> None:
        self._registry = registry
        self._turns = turns
        self._names = names
        self._asns = asns
        # The request of the latest frame, and the addresses in its frames. A request asks again and
        # again for the same routers.
        self._origin: Origin | None = None
        self._prefetched: set[bytes] = set()

    def prefetch(self, frame: Frame, origin: Origin) -> None:
        """Start to look up the names and ASNs of a frame's addresses, so that the answer need not
        wait for them. `origin`: of the frame's job."""
        if origin != self._origin:
            self._origin, self._prefetched = origin, set()
        found = {node.address for node in frame.replies.nodes}
        if frame.target_address:
            found.add(frame.target_address)
        if found <= self._prefetched:
            return
        addresses = [address_text(address) for address in found - self._prefetched]
        self._prefetched |= found
        if self._names is not None:
            self._names.prefetch(addresses, origin)
        if self._asns is not None:
            self._asns.asns(addresses)

    def known_now(self, addresses: Iterable[str]) -> tuple[tally.Known, set[str]]:
        """The names and ASNs that are known now, and the addresses whose names are still looked
        up."""
        addresses = set(addresses)
        names: dict[str, str] = {}
        awaited: set[str] = set()
        if self._names is not None:
            names, awaited = self._names.known_now(addresses)
        asns = self._asns.asns(addresses) if self._asns is not None else {}
        return tally.Known(names, asns), awaited

    def colo(self, name: ColoName) -> rows.Colo:
        """The colo as rows show it."""
        return rows.Colo(city=self._registry.city(name), name=name)

    async def build(self, summary: Summary, traces: Mapping[int, Trace], origin: Origin) -> Answer:
        """The answer of a measurement whose rows have ended, in the order of the request. Takes
        `NAMES_S` at most; the statistics are computed as its rows are asked for. `origin`: of the
        measurement's jobs."""
        batches, addresses, messages = await self._batches(summary, traces)
        known = await self._known(addresses, origin)
        return self._answer(
            Measured(summary=summary, traces=traces, known=known), batches, messages
        )

    async def shown(self, measured: Measured) -> Answer:
        """The answer of a measurement that runs or is kept. Rows that have not ended have no hops;
        if they never will, they have an error."""
        batches, _, messages = await self._batches(measured.summary, measured.traces)
        return self._answer(measured, batches, messages)

    def _answer(
        self, measured: Measured, batches: deque[tally.Batch], messages: list[Message]
    ) -> Answer:
        summary, width = measured.summary, len(measured.summary.colos)
        found = self._rows(batches, width, measured.known)
        return Answer(summary.targets, width, found, messages, measured)

    async def _batches(
        self, summary: Summary, traces: Mapping[int, Trace]
    ) -> tuple[deque[tally.Batch], set[str], list[Message]]:
        batches: deque[tally.Batch] = deque()
        addresses: set[str] = set()
        gathered: list[tally.Gathered] = []
        messages: list[Message] = []
        last = summary.rows - 1
        for number in range(summary.rows):
            trace = traces.get(number) or self._missing(summary, number)
            gathered.append(trace.gathered)
            if trace.remarks:
                target, colo = summary.place(number)
                pointer = f"/result/{target}/colos/{colo}"
                messages += (Message(each.code, each.text, pointer) for each in trace.remarks)
            if len(gathered) == PIECE_ROWS or number == last:
                batches.append(tally.Batch(gathered))
                addresses |= batches[-1].addresses()
                gathered = []
                if number != last:
                    await self._turns.pause()
        return batches, addresses, messages

    def _missing(self, summary: Summary, number: int) -> Trace:
        """A row that has not ended, or never will."""
        target, colo = summary.place(number)
        name = summary.colos[colo]
        words = _LOST_ROWS.get(summary.status)
        links = () if summary.options.multipath else None
        gathered = tally.Gathered(
            target=summary.targets[target],
            colo=self.colo(name),
            code=RowCode.LOST if words else 0,
            links=links,
        )
        remarks = (Remark(row_failed(RowCode.LOST), f"{name}: {words}"),) if words else ()
        return Trace(gathered=gathered, began_ms=summary.began_ms, remarks=remarks)

    async def _known(self, addresses: set[str], origin: Origin) -> tally.Known:
        names, asns = {}, {}
        if self._names is not None:
            names = await self._names.names(addresses, origin, wait_s=NAMES_S)
        if self._asns is not None:
            asns = self._asns.asns(addresses)
        return tally.Known(names, asns)

    async def _rows(
        self, batches: deque[tally.Batch], width: int, known: tally.Known
    ) -> AsyncIterator[Sequence[rows.ColoRow]]:
        """The rows in pieces of one target each; `width` rows are a target's. Each batch is freed
        when its rows have been sent: to free thousands at once takes tens of milliseconds."""
        left = width
        while batches:
            found = batches.popleft().colo_rows(known)
            while found:
                piece, found = found[:left], found[left:]
                left = left - len(piece) or width
                yield piece
            if batches:
                await self._turns.pause()
