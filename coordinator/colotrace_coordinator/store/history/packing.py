"""Rows of a measurement as bytes, and back: what was recorded, bit by bit.

A chunk has up to `CHUNK_ROWS` rows. Their replies are in columns over all rows: TTLs, RTTs, nodes,
and so on. Addresses of nodes are in one table, since the same routers come again in many rows. What
a row has beside its replies is in the row's own record. Target and colo are not repeated: the row's
number says which they are.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec
from colotrace_proto.measured import Remark, Summary, Trace
from colotrace_proto.messages import Edge, FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.rows import Colo
from colotrace_proto.tally import Gathered
from msgspec.structs import astuple

from .columns import Column, packed, unpacked
from .seal import DamageError

CHUNK_ROWS = 64
_KINDS = tuple(NodeKind)
"""By their numbers, which are 0, 1, 2."""

_Flow = tuple[PacketType | None, int, int, int, int, int]
_Link = tuple[int, bytes, bytes, int]


class _Row(msgspec.Struct, array_like=True, frozen=True):
    """A row without its replies. `began_ms` counts from the begin of the measurement. `replies` and
    `nodes` are the numbers of its lines in the columns."""

    number: int
    city: int
    began_ms: int
    duration_ns: int
    code: int
    unplaced: int
    own_ends: bool
    target_address: bytes
    source_address: bytes
    sent: tuple[int, ...]
    replies: int
    nodes: int
    has_ordinal: bool
    has_flow: bool
    flows: tuple[_Flow, ...]
    links: tuple[_Link, ...] | None
    remarks: tuple[tuple[int, str], ...]


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """Rows as they are stored; only this module reads them.

    `labels` are those of the nodes that have some, by the node's number in the chunk.
    """

    rows: tuple[_Row, ...]
    cities: tuple[str, ...]
    addresses: tuple[bytes, ...]
    ttl: Column
    rtt_ns: Column
    node: Column
    ordinal: Column
    flow: Column
    node_address: Column
    node_kind: bytes
    labels: dict[int, tuple[str, ...]]


def pack(summary: Summary, traces: Mapping[int, Trace]) -> Chunk:
    """The rows, by number, as a chunk. Each has the target and the colo of its number."""
    cities: dict[str, int] = {}
    rows: list[_Row] = []
    tables: list[Replies] = []
    for number, trace in traces.items():
        gathered = trace.gathered
        replies = gathered.replies
        tables.append(replies)
        rows.append(
            _Row(
                number,
                cities.setdefault(gathered.colo.city, len(cities)),
                trace.began_ms - summary.began_ms,
                gathered.duration_ns,
                gathered.code,
                gathered.unplaced,
                gathered.own_ends,
                gathered.target_address,
                trace.source_address,
                gathered.sent,
                len(replies.ttl),
                len(replies.nodes),
                bool(replies.ordinal),
                bool(replies.flow),
                tuple(map(astuple, trace.flows)),
                None if gathered.links is None else tuple(map(astuple, gathered.links)),
                tuple(map(astuple, trace.remarks)),
            )
        )
    one = tables[0] if len(tables) == 1 else _joined(tables)
    addresses: dict[bytes, int] = {}
    places = [addresses.setdefault(node.address, len(addresses)) for node in one.nodes]
    return Chunk(
        tuple(rows),
        tuple(cities),
        tuple(addresses),
        packed(one.ttl),
        packed(one.rtt_ns),
        packed(one.node),
        packed(one.ordinal),
        packed(one.flow),
        packed(places),
        bytes([node.kind for node in one.nodes]),
        {place: node.labels for place, node in enumerate(one.nodes) if node.labels},
    )


def unpack(summary: Summary, chunk: Chunk, *, only: int | None = None) -> dict[int, Trace]:
    """The rows of the chunk by their number; with `only`, that row alone, and
    nothing if the chunk lacks it.

    Raises:
        DamageError: the chunk contradicts itself or the summary.
    """
    columns = _Columns(chunk)
    found = {}
    try:
        for row in chunk.rows:
            replies = columns.next(row, wanted=only is None or only == row.number)
            if replies is not None:
                found[row.number] = _trace(summary, chunk, row, replies)
    except (IndexError, ValueError) as error:
        raise DamageError(f"a row of it is not valid: {error}") from None
    return found


def _joined(tables: Sequence[Replies]) -> Replies:
    """The columns of all tables, one after the other; `node` counts in each table."""
    joined = chain.from_iterable
    return Replies(
        tuple(joined([table.ttl for table in tables])),
        tuple(joined([table.rtt_ns for table in tables])),
        tuple(joined([table.node for table in tables])),
        tuple(joined([table.nodes for table in tables])),
        tuple(joined([table.ordinal for table in tables])),
        tuple(joined([table.flow for table in tables])),
    )


class _Columns:
    """Reads the columns of a chunk, row by row."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        columns = (chunk.ttl, chunk.rtt_ns, chunk.node, chunk.ordinal, chunk.flow)
        self._columns = [unpacked(column) for column in columns]
        self._at = [0] * len(columns)
        self._node_address = unpacked(chunk.node_address)
        self._first_node = 0

    def next(self, row: _Row, *, wanted: bool) -> Replies | None:
        """The replies of the next row; None if they are not wanted."""
        count = row.replies
        ttl, rtt_ns, node, ordinal, flow = (
            self._take(place, length, wanted=wanted)
            for place, length in enumerate(
                (count, count, count, count * row.has_ordinal, count * row.has_flow)
            )
        )
        first, self._first_node = self._first_node, self._first_node + row.nodes
        if not wanted:
            return None
        if node and max(node) >= row.nodes:
            raise IndexError("a reply of a node that is missing")
        nodes = self._nodes(first, self._first_node)
        return Replies(ttl, rtt_ns, node, nodes, ordinal, flow)

    def _take(self, place: int, count: int, *, wanted: bool) -> tuple[int, ...]:
        first = self._at[place]
        self._at[place] = end = first + count
        if count < 0 or end > len(self._columns[place]):
            raise IndexError("a column is too short")
        return tuple(self._columns[place][first:end]) if wanted else ()

    def _nodes(self, first: int, end: int) -> tuple[Node, ...]:
        chunk = self._chunk
        if not first <= end <= min(len(self._node_address), len(chunk.node_kind)):
            raise IndexError("nodes are missing")
        addresses = map(chunk.addresses.__getitem__, self._node_address[first:end])
        kinds = map(_KINDS.__getitem__, chunk.node_kind[first:end])
        if not chunk.labels:
            return tuple(map(Node, addresses, kinds))
        labels = [chunk.labels.get(place, ()) for place in range(first, end)]
        return tuple(map(Node, addresses, kinds, labels))


def _trace(summary: Summary, chunk: Chunk, row: _Row, replies: Replies) -> Trace:
    if not 0 <= row.number < summary.rows:
        raise IndexError("a row beyond those that were asked for")
    target, colo = summary.place(row.number)
    links = row.links
    return Trace(
        gathered=Gathered(
            target=summary.targets[target],
            colo=Colo(city=chunk.cities[row.city], name=summary.colos[colo]),
            target_address=row.target_address,
            sent=row.sent,
            replies=replies,
            duration_ns=row.duration_ns,
            code=row.code,
            unplaced=row.unplaced,
            own_ends=row.own_ends,
            links=None if links is None else tuple([Edge(*link) for link in links]),
        ),
        began_ms=summary.began_ms + row.began_ms,
        source_address=row.source_address,
        flows=tuple([FlowFields(*flow) for flow in row.flows]),
        remarks=tuple([Remark(code=code, text=text) for code, text in row.remarks]),
    )
