"""The answer to a request: a row for each target and colo, and messages about them.

Everything of an answer is put together here: the results of its jobs, the refusals of the
coordinator's policy, host names, ASNs, and the statistics (`colotrace_proto.tally`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from colotrace_proto import rows, tally
from colotrace_proto.addresses import address_text
from colotrace_proto.codes import Code, RowCode, row_failed
from colotrace_proto.deadlines import NAMES_S
from colotrace_proto.messages import ColoName, Frame
from colotrace_proto.notices import sentence

from .enrich.asn import AsnTable
from .enrich.names import Names
from .fleet.registry import Registry
from .jobs.task import JobResult
from .model import Answer, Message, Options, TraceRequest

PIECE_ROWS = 50
"""Rows whose statistics are computed in one go: some 3 ms."""
Results = Mapping[tuple[str, ColoName], JobResult | str]
"""By target and colo: the result of the job, or why the target was refused."""


class Answers:
    """Builds answers. `names` and `asns` are None if they are not to be looked up."""

    def __init__(self, *, registry: Registry, names: Names | None, asns: AsnTable | None) -> None:
        self._registry = registry
        self._names = names
        self._asns = asns

    def prefetch(self, frame: Frame) -> None:
        """Start to look up the names and ASNs of a frame's addresses, so that the answer need not
        wait for them."""
        nodes = {node.address for node in frame.replies.nodes}
        if frame.target_address:
            nodes.add(frame.target_address)
        addresses = [address_text(address) for address in nodes]
        if self._names is not None:
            self._names.prefetch(addresses)
        if self._asns is not None:
            self._asns.asns(addresses)

    async def build(self, request: TraceRequest, results: Results) -> Answer:
        """The answer, targets and colos in the order of the request. Takes `NAMES_S` at most; the
        statistics are computed as its rows are asked for."""
        gathered: list[tally.Gathered] = []
        messages: list[Message] = []
        for row, target in enumerate(request.targets):
            for column, name in enumerate(request.colos):
                result = results[target, name]
                colo = rows.Colo(city=self._registry.city(name), name=name)
                pointer = f"/result/{row}/colos/{column}"
                if len(gathered) % PIECE_ROWS == PIECE_ROWS - 1:
                    await asyncio.sleep(0)
                gathered.append(_gathered(result, target, colo, request.options))
                messages += [
                    Message(code, words, pointer) for code, words in _messages(result, name)
                ]
        width = len(request.colos)
        known = await self._known(gathered)
        return Answer(request.targets, width, _rows(gathered, width, known), messages)

    async def _known(self, gathered: list[tally.Gathered]) -> tally.Known:
        addresses: set[str] = set()
        for at in range(0, len(gathered), PIECE_ROWS):
            addresses |= tally.addresses(gathered[at : at + PIECE_ROWS])
            await asyncio.sleep(0)
        names, asns = {}, {}
        if self._names is not None:
            names = await self._names.names(addresses, wait_s=NAMES_S)
        if self._asns is not None:
            asns = self._asns.asns(addresses)
        return tally.Known(names, asns)


async def _rows(
    gathered: Sequence[tally.Gathered], width: int, known: tally.Known
) -> AsyncIterator[Sequence[rows.ColoRow]]:
    """The rows in pieces of one target each; `width` rows are a target's."""
    for start in range(0, len(gathered), width):
        for at in range(start, start + width, PIECE_ROWS):
            yield tally.colo_rows(gathered[at : min(at + PIECE_ROWS, start + width)], known)


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
    for words in result.moved:
        yield Code.ROW_MOVED, f"{colo}: {words}"
    for notice in result.notices:
        yield Code.ROW_NOTICE, f"{colo}: {sentence(notice)}"
