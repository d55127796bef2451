"""The answer to a request: a row for each target and colo, and messages about them.

Everything of an answer is put together here: the results of its jobs, the refusals of the
coordinator's policy, host names, ASNs, and the statistics (`colotrace_proto.tally`).
"""

import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from colotrace_proto import rows, tally
from colotrace_proto.addresses import address_text
from colotrace_proto.codes import Code, RowCode, row_failed
from colotrace_proto.deadlines import NAMES_S
from colotrace_proto.measured import Options
from colotrace_proto.messages import ColoName, Frame
from colotrace_proto.notices import sentence

from .enrich.asn import AsnTable
from .enrich.names import Names
from .fleet.registry import Registry
from .jobs.fair import Origin
from .jobs.task import JobResult
from .model import Answer, Message, TraceRequest
from .turns import Turns

PIECE_ROWS = 25
"""Rows whose statistics are computed in one go: some 1.5 ms."""
LEAST_DELAY_S = 0.05
"""A delay of a row's start that is shown."""
_DELAYED = "started {:.1f} s later, because of the limit of packets a second to one target"
Results = Mapping[tuple[str, ColoName], JobResult | str]
"""By target and colo: the result of the job, or why the target was refused."""


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

    async def build(self, request: TraceRequest, results: Results, origin: Origin) -> Answer:
        """The answer, targets and colos in the order of the request. Takes `NAMES_S` at most; the
        statistics are computed as its rows are asked for. `origin`: of the request's jobs."""
        batches: deque[tally.Batch] = deque()
        addresses: set[str] = set()
        gathered: list[tally.Gathered] = []
        messages: list[Message] = []
        city = self._registry.city
        colos = {name: rows.Colo(city=city(name), name=name) for name in request.colos}
        places = itertools.product(enumerate(request.targets), enumerate(request.colos))
        rows_left = len(request.targets) * len(request.colos)
        for (row, target), (column, name) in places:
            result = results[target, name]
            gathered.append(_gathered(result, target, colos[name], request.options))
            for code, words in _messages(result, name):
                messages.append(Message(code, words, f"/result/{row}/colos/{column}"))
            rows_left -= 1
            if len(gathered) == PIECE_ROWS or not rows_left:
                batches.append(tally.Batch(gathered))
                addresses |= batches[-1].addresses()
                gathered = []
                if rows_left:
                    await self._turns.pause()
        known = await self._known(addresses, origin)
        found = self._rows(batches, len(request.colos), known)
        return Answer(request.targets, len(request.colos), found, messages)

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


def _gathered(
    result: JobResult | str, target: str, colo: rows.Colo, options: Options
) -> tally.Gathered:
    """The row before its statistics."""
    if isinstance(result, str):
        links = () if options.multipath else None
        return tally.Gathered(target=target, colo=colo, code=RowCode.UNTRACEABLE, links=links)
    return tally.Gathered(
        target=target,
        colo=colo,
        target_address=result.target_address,
        sent=result.sent,
        replies=result.replies,
        duration_ns=result.duration_ns,
        code=result.fault.code if result.fault else 0,
        unplaced=result.unplaced,
        own_ends=tally.has_own_ends(options.packet_type, multipath=options.multipath),
        links=result.links if options.multipath else None,
    )


def _messages(result: JobResult | str, colo: ColoName) -> Iterable[tuple[int, str]]:
    """Code and text of each message about a row."""
    if isinstance(result, str):
        yield row_failed(RowCode.UNTRACEABLE), result
        return
    if result.fault is not None:
        yield row_failed(result.fault.code), f"{colo}: {result.fault.words}"
    if result.limited_s >= LEAST_DELAY_S:
        yield Code.ROW_NOTICE, f"{colo}: {_DELAYED.format(result.limited_s)}"
    for words in result.moved:
        yield Code.ROW_MOVED, f"{colo}: {words}"
    for notice in result.notices:
        yield Code.ROW_NOTICE, f"{colo}: {sentence(notice)}"
