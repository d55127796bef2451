"""The API's rows from the agents' replies: path ends, hops, nodes and RTT statistics.

numpy computes the statistics of all rows of an answer together. Each reply gets the number of its
group, a node at a TTL. Count, minimum, mean and maximum of all groups come from one pass over the
replies, in float64 milliseconds. The sample standard deviation takes a second pass: sums of squares
would show rounding errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from . import rows
from .addresses import address_text
from .ends import refused_at
from .messages import Edge, Node, NodeKind, PacketType, Replies

_NS_PER_MS = 1e6


class Gathered(msgspec.Struct, frozen=True):
    """The replies of one trace from one colo.

    `sent` are the probes sent at TTL 1, 2, 3 …; `code` is the `RowCode`, 0 for none;
    `target_address` is 4 or 16 bytes, or empty if the name was not resolved. `unplaced` counts
    answers of the target that name no probe.

    `own_ends` is set if the trace has several flows, each reported up to its own end. `links` is
    None if load-balanced paths were not requested.
    """

    target: str
    colo: rows.Colo
    target_address: bytes = b""
    sent: tuple[int, ...] = ()
    replies: Replies = Replies()
    duration_ns: int = 0
    code: int = 0
    unplaced: int = 0
    own_ends: bool = False
    links: tuple[Edge, ...] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Names and ASNs by address, as text; addresses without one are absent."""

    names: Mapping[str, str]
    asns: Mapping[str, str]


NOTHING_KNOWN = Known({}, {})


_Key = tuple[bytes, tuple[str, ...]]
"""Address and labels: what makes two replies at one TTL those of one node."""
_Times = tuple[int, float, float, float, float]
"""RTT statistics in milliseconds: count, minimum, mean, maximum, standard deviation."""
_Number = TypeVar("_Number", np.intp, np.float64)


def merged(tables: Sequence[Replies]) -> Replies:
    """The lines of all tables in one table, in time linear in the number of lines. `ordinal` and
    `flow` are empty if a table with lines lacks them."""
    if len(tables) == 1:
        return tables[0]
    node: list[int] = []
    nodes: list[Node] = []
    for table in tables:
        offset = len(nodes)
        node += [number + offset for number in table.node] if offset else table.node
        nodes += table.nodes
    ordinal = tuple(chain.from_iterable(table.ordinal for table in tables))
    flow = tuple(chain.from_iterable(table.flow for table in tables))
    complete = len(ordinal) == len(node)
    return Replies(
        tuple(chain.from_iterable(table.ttl for table in tables)),
        tuple(chain.from_iterable(table.rtt_ns for table in tables)),
        tuple(node),
        tuple(nodes),
        ordinal if complete else (),
        flow if complete else (),
    )


def has_own_ends(packet_type: PacketType, *, multipath: bool) -> bool:
    """Whether such a job has several flows, each reported up to its own end."""
    return multipath or len(packet_type.parts) > 1


def path_end(gathered: Gathered) -> int:
    """The last TTL of the row.

    It is the lowest TTL at which the target answered; else the TTL at which a router's refusal
    ends the path (see `ends.refused_at`); else the last TTL that was probed (0 if none was). If the
    target has only answered without naming a probe, it is the last TTL with a reply: the target is
    somewhere beyond, and silence there is no loss.

    Load-balanced paths of several flows may differ in length. If another node answered at or
    beyond the lowest TTL of the target, some flow was still on its way there, and the path goes on
    to the next TTL at which the target answered. Without such a node, the higher TTLs at which the
    target answered are paths of the same length whose lower answer is missing; they do not lengthen
    the row.
    """
    replies = gathered.replies
    target = NodeKind.TARGET
    targets = {n for n, node in enumerate(replies.nodes) if node.kind is target}
    ends = [ttl for ttl, n in zip(replies.ttl, replies.node, strict=True) if n in targets]
    if ends:
        first = min(ends)
        if not gathered.own_ends:
            return first
        lines = zip(replies.ttl, replies.node, strict=True)
        furthest = max((ttl for ttl, n in lines if n not in targets), default=0)
        if furthest < first:
            return first
        return min((ttl for ttl in ends if ttl > furthest), default=furthest)
    nodes = (replies.nodes[n] for n in replies.node)
    refused = refused_at(
        (ttl, node.kind, node.address) for ttl, node in zip(replies.ttl, nodes, strict=True)
    )
    if refused is not None:
        return refused
    if gathered.unplaced:
        return max(replies.ttl, default=0)
    return max((ttl for ttl, sent in enumerate(gathered.sent, 1) if sent), default=0)


class Batch:
    """Rows whose statistics are computed together."""

    def __init__(self, gathered: Sequence[Gathered]) -> None:
        self._gathered = gathered
        ends = [path_end(g) for g in gathered]
        # The number of each row's first hop, counted over all rows; and the number of all hops.
        self._first_hop = list(accumulate(ends, initial=0))
        self._lines = _Lines.of(gathered, ends, self._first_hop)

    def addresses(self) -> set[str]:
        """All addresses in the rows, as text: those to look up names and ASNs for."""
        lines = self._lines
        found = {lines.keys[key][0] for key in set(lines.key.tolist())}
        found.update(g.target_address for g in self._gathered if g.target_address)
        return set(map(address_text, found))

    def colo_rows(self, known: Known) -> list[rows.ColoRow]:
        """The rows, in the order given."""
        found, targets = _answered(self._lines, known)
        hops = self._hops(found)
        return [
            rows.ColoRow(
                colo=g.colo,
                error=rows.error_text(g.code),
                hops=hops[first:end],
                target_summary=_summary(g, targets.get(index), known),
                traceroute_time_ms=round(g.duration_ns / _NS_PER_MS),
                links=UNSET if g.links is None else [_link(link) for link in g.links],
            )
            for index, (g, (first, end)) in enumerate(
                zip(self._gathered, pairwise(self._first_hop), strict=True)
            )
        ]

    def _hops(self, found: _Found) -> list[rows.Hop]:
        """The hops of all rows."""
        count = self._first_hop[-1]
        ttls: list[int] = []
        sent: list[int] = []
        for g, (first, end) in zip(self._gathered, pairwise(self._first_hop), strict=True):
            ttls += range(1, end - first + 1)
            sent += g.sent[: end - first]
            sent += (0,) * (end - len(sent))
        answers = np.bincount(self._lines.hop, minlength=count)
        packets = np.maximum(np.array(sent, np.intp), answers)
        return list(
            map(
                rows.Hop, ttls, packets.tolist(), (packets - answers).tolist(), found.of_hops(count)
            )
        )


def colo_rows(gathered: Sequence[Gathered], known: Known = NOTHING_KNOWN) -> list[rows.ColoRow]:
    """The rows, in the order given."""
    return Batch(gathered).colo_rows(known)


@dataclass(frozen=True, slots=True)
class _Lines:
    """The replies up to the rows' ends, in columns of one length: the row's index, the hop's number
    over all rows, RTT, the index into `keys` (address and labels), and whether the target
    answered. Rows are in order."""

    row: npt.NDArray[np.intp]
    hop: npt.NDArray[np.intp]
    rtt_ms: npt.NDArray[np.float64]
    key: npt.NDArray[np.intp]
    is_target: npt.NDArray[np.bool_]
    keys: list[_Key]

    @classmethod
    def of(
        cls, gathered: Sequence[Gathered], ends: Sequence[int], first_hop: Sequence[int]
    ) -> _Lines:
        replies = [g.replies for g in gathered]
        keys: dict[_Key, int] = {}
        target = NodeKind.TARGET
        node_key: list[int] = []
        node_is_target: list[bool] = []
        first_node: list[int] = []
        for table in replies:
            first_node.append(len(node_key))
            for each in table.nodes:
                node_key.append(keys.setdefault((each.address, each.labels), len(keys)))
                node_is_target.append(each.kind is target)
        counts = [len(table.ttl) for table in replies]
        row = np.arange(len(replies)).repeat(counts)
        ttl = _column((table.ttl for table in replies), sum(counts), np.intp)
        node = _column((table.node for table in replies), sum(counts), np.intp)
        node += np.array(first_node, np.intp)[row]
        rtt_ms = _column((table.rtt_ns for table in replies), sum(counts), np.float64) / _NS_PER_MS
        kept = ttl <= np.array(ends, np.intp)[row]
        if not kept.all():
            row, ttl, node, rtt_ms = row[kept], ttl[kept], node[kept], rtt_ms[kept]
        hop = np.array(first_hop, np.intp)[row] + ttl - 1
        key, is_target = np.array(node_key, np.intp), np.array(node_is_target, np.bool_)
        return cls(row, hop, rtt_ms, key[node], is_target[node], list(keys))


def _column(
    columns: Iterable[Sequence[int]], count: int, dtype: type[_Number]
) -> npt.NDArray[_Number]:
    return np.fromiter(chain.from_iterable(columns), dtype, count)


@dataclass(frozen=True, slots=True)
class _Found:
    """The nodes that answered, by hop: the number of each one's hop, and its key."""

    nodes: list[rows.Node]
    hop: npt.NDArray[np.intp]
    key: list[_Key]

    def of_hops(self, count: int) -> list[list[rows.Node]]:
        """The nodes of each of so many hops, those with the most answers first."""
        nodes = self.nodes
        bounds = self.hop.searchsorted(np.arange(count + 1)).tolist()
        found = [nodes[a:b] or [rows.SILENCE] for a, b in pairwise(bounds)]
        for hop, several in enumerate(found):
            if len(several) > 1:
                places = sorted(range(bounds[hop], bounds[hop + 1]), key=self._rank)
                found[hop] = [nodes[place] for place in places]
        return found

    def _rank(self, place: int) -> tuple[int, int, bytes, tuple[str, ...]]:
        address, labels = self.key[place]
        return -self.nodes[place].packet_count, len(address), address, labels


def _answered(lines: _Lines, known: Known) -> tuple[_Found, dict[int, _Times]]:
    """The nodes at all hops, and the statistics of each row's target by the row's index; without
    the targets that did not answer."""
    # The groups of both are computed together, since with few lines numpy's calls cost the most.
    width = max(len(lines.keys), 1)
    group = lines.hop * width + lines.key
    by_node = group.argsort(kind="stable")
    of_target = lines.is_target.nonzero()[0]
    group, row = group[by_node], lines.row[of_target]
    first_of_node, first_of_target = _firsts(group), _firsts(row)
    statistics = _statistics(
        lines.rtt_ms[np.concatenate((by_node, of_target))],
        np.concatenate((first_of_node, first_of_target + len(by_node))),
    )
    count = len(first_of_node)
    hop, key = np.divmod(group[first_of_node], width)
    found = _found(lines, hop, key.tolist(), [column[:count] for column in statistics], known)
    times = zip(*(column[count:] for column in statistics), strict=True)
    return found, dict(zip(row[first_of_target].tolist(), times, strict=True))


def _found(
    lines: _Lines,
    hop: npt.NDArray[np.intp],
    keys: Sequence[int],
    statistics: Sequence[Sequence[float]],
    known: Known,
) -> _Found:
    shown = [_shown(address, known) for address, _ in lines.keys]
    labels = [list(labels) if labels else UNSET for _, labels in lines.keys]
    nodes = map(
        rows.Node,
        [shown[key][1] for key in keys],
        [shown[key][0] for key in keys],
        [shown[key][2] for key in keys],
        *statistics,
        [labels[key] for key in keys],
    )
    return _Found(list(nodes), hop, [lines.keys[key] for key in keys])


def _firsts(groups: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The places at which a new group begins. The lines of a group follow one another."""
    begins = np.ones(len(groups), np.bool_)
    np.not_equal(groups[1:], groups[:-1], out=begins[1:])
    return begins.nonzero()[0]


def _statistics(
    rtt_ms: npt.NDArray[np.float64], first: npt.NDArray[np.intp]
) -> tuple[list[int], list[float], list[float], list[float], list[float]]:
    """The statistics of each group (see `_Times`) in columns. `first`: see `_firsts`."""
    if not len(first):
        return [], [], [], [], []
    groups = len(first)
    count = np.concatenate((first[1:], [len(rtt_ms)])) - first
    group = np.arange(groups).repeat(count)
    low, high = np.minimum.reduceat(rtt_ms, first), np.maximum.reduceat(rtt_ms, first)
    # `bincount` adds in the order of the replies. Rounding can put the mean of equal values outside
    # of them.
    mean = np.bincount(group, rtt_ms, groups) / count
    mean = np.minimum(np.maximum(mean, low), high)
    squares = np.bincount(group, (rtt_ms - mean[group]) ** 2, groups)
    std_dev = np.sqrt(squares / np.maximum(count - 1, 1))
    return count.tolist(), low.tolist(), mean.tolist(), high.tolist(), std_dev.tolist()


def _link(link: Edge) -> rows.Link:
    return rows.Link(
        ttl=link.ttl, near=address_text(link.near), far=address_text(link.far), flows=link.flows
    )


def _summary(gathered: Gathered, times: _Times | None, known: Known) -> rows.TargetSummary:
    if not gathered.target_address:
        return rows.TargetSummary(asn="", ip="", name=gathered.target, packet_count=0)
    ip, asn, name = _shown(gathered.target_address, known)
    if times is None:  # the target did not answer, or only without naming a probe
        return rows.TargetSummary(asn=asn, ip=ip, name=name, packet_count=gathered.unplaced)
    count, low, mean, high, std_dev = times
    return rows.TargetSummary(
        asn=asn,
        ip=ip,
        name=name,
        packet_count=count,
        min_latency_ms=low,
        mean_latency_ms=mean,
        max_latency_ms=high,
        std_dev_latency_ms=std_dev,
        min_rtt_ms=low,
        mean_rtt_ms=mean,
        max_rtt_ms=high,
        std_dev_rtt_ms=std_dev,
    )


def _shown(address: bytes, known: Known) -> tuple[str, str, str]:
    """An address as text, its ASN, and its name."""
    ip = address_text(address)
    return ip, known.asns.get(ip, rows.UNKNOWN_ASN), known.names.get(ip, ip)
