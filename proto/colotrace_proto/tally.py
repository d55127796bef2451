"""The API's rows from the agents' replies: path ends, hops, nodes and RTT statistics.

numpy computes the statistics of all rows of an answer together. Each reply gets the number of its
group, a node at a TTL. Count, minimum, mean and maximum of all groups come from one pass over the
replies, in float64 milliseconds. The sample standard deviation takes a second pass: sums of squares
would show rounding errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from . import rows
from .addresses import address_text
from .ends import refused_at
from .messages import MAX_TTL, Edge, Node, NodeKind, PacketType, Replies

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Gathered:
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
    replies: Replies = field(default_factory=Replies)
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
_TTLS = MAX_TTL + 1
_Number = TypeVar("_Number", np.intp, np.float64)


def merged(tables: Sequence[Replies]) -> Replies:
    """The lines of all tables in one table, in time linear in the number of lines."""
    node: list[int] = []
    nodes: list[Node] = []
    for table in tables:
        offset = len(nodes)
        node += [number + offset for number in table.node] if offset else table.node
        nodes += table.nodes
    return Replies(
        tuple(chain.from_iterable(table.ttl for table in tables)),
        tuple(chain.from_iterable(table.rtt_ns for table in tables)),
        tuple(node),
        tuple(nodes),
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
    targets = {n for n, node in enumerate(replies.nodes) if node.kind is NodeKind.TARGET}
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


def addresses(gathered: Sequence[Gathered]) -> set[str]:
    """All addresses in the rows, as text: those to look up names and ASNs for."""
    found = {g.target_address for g in gathered if g.target_address}
    for g in gathered:
        end = path_end(g)
        shown = {n for ttl, n in zip(g.replies.ttl, g.replies.node, strict=True) if ttl <= end}
        found.update(g.replies.nodes[n].address for n in shown)
    return {address_text(address) for address in found}


def colo_rows(gathered: Sequence[Gathered], known: Known = NOTHING_KNOWN) -> list[rows.ColoRow]:
    """The rows, in the order given."""
    ends = [path_end(g) for g in gathered]
    lines = _Lines.of(gathered, ends)
    answered = _nodes(lines, known)
    targets = _targets(lines)
    return [
        rows.ColoRow(
            colo=g.colo,
            error=rows.error_text(g.code),
            hops=[
                _hop(ttl, g.sent, answered.get(index * _TTLS + ttl)) for ttl in range(1, end + 1)
            ],
            target_summary=_summary(g, targets.get(index), known),
            traceroute_time_ms=round(g.duration_ns / _NS_PER_MS),
            links=UNSET if g.links is None else [_link(link) for link in g.links],
        )
        for index, (g, end) in enumerate(zip(gathered, ends, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class _Lines:
    """The replies up to the rows' ends, in columns of one length: the row's index, TTL, RTT, the
    index into `keys` (address and labels), and whether the target answered."""

    row: npt.NDArray[np.intp]
    ttl: npt.NDArray[np.intp]
    rtt_ms: npt.NDArray[np.float64]
    key: npt.NDArray[np.intp]
    is_target: npt.NDArray[np.bool_]
    keys: list[_Key]

    @classmethod
    def of(cls, gathered: Sequence[Gathered], ends: Sequence[int]) -> _Lines:
        replies = [g.replies for g in gathered]
        keys: dict[_Key, int] = {}
        nodes = [node for table in replies for node in table.nodes]
        node_key = np.array(
            [keys.setdefault((node.address, node.labels), len(keys)) for node in nodes], np.intp
        )
        node_is_target = np.array([node.kind is NodeKind.TARGET for node in nodes], np.bool_)
        counts = [len(table.ttl) for table in replies]
        offsets = np.cumsum([0, *(len(table.nodes) for table in replies)])[:-1]
        row = np.repeat(np.arange(len(replies)), counts)
        ttl = _column((table.ttl for table in replies), sum(counts), np.intp)
        node = _column((table.node for table in replies), sum(counts), np.intp) + offsets[row]
        rtt_ms = _column((table.rtt_ns for table in replies), sum(counts), np.float64) / _NS_PER_MS
        kept = ttl <= np.array(ends, np.intp)[row]
        node = node[kept]
        return cls(
            row[kept], ttl[kept], rtt_ms[kept], node_key[node], node_is_target[node], list(keys)
        )


def _column(
    columns: Iterable[Sequence[int]], count: int, dtype: type[_Number]
) -> npt.NDArray[_Number]:
    return np.fromiter(chain.from_iterable(columns), dtype, count)


def _nodes(lines: _Lines, known: Known) -> dict[int, list[tuple[_Key, rows.Node]]]:
    """The nodes at each hop (row index * `_TTLS` + TTL), each with its key."""
    shown = [_shown(address, known) for address, _ in lines.keys]
    group = (lines.row * _TTLS + lines.ttl) * max(len(lines.keys), 1) + lines.key
    groups, group_of = np.unique(group, return_inverse=True)
    places, keys = np.divmod(groups, max(len(lines.keys), 1))
    found: dict[int, list[tuple[_Key, rows.Node]]] = {}
    for place, key, (count, low, mean, high, std_dev) in zip(
        places.tolist(),
        keys.tolist(),
        _statistics(group_of, lines.rtt_ms, len(groups)),
        strict=True,
    ):
        ip, asn, name = shown[key]
        labels = lines.keys[key][1]
        node = rows.Node(
            asn=asn,
            ip=ip,
            name=name,
            packet_count=count,
            min_rtt_ms=low,
            mean_rtt_ms=mean,
            max_rtt_ms=high,
            std_dev_rtt_ms=std_dev,
            labels=list(labels) if labels else UNSET,
        )
        found.setdefault(place, []).append((lines.keys[key], node))
    return found


def _targets(lines: _Lines) -> dict[int, _Times]:
    """The statistics of each row's target, by the row's index; without those it did not answer."""
    group, group_of = np.unique(lines.row[lines.is_target], return_inverse=True)
    times = _statistics(group_of, lines.rtt_ms[lines.is_target], len(group))
    return dict(zip(group.tolist(), times, strict=True))


def _statistics(
    group: npt.NDArray[np.intp], rtt_ms: npt.NDArray[np.float64], groups: int
) -> Iterator[_Times]:
    """The statistics of each group. `group[i]` is the group of `rtt_ms[i]`; no group is empty."""
    count = np.bincount(group, minlength=groups)
    low = np.full(groups, np.inf)
    np.minimum.at(low, group, rtt_ms)
    high = np.zeros(groups)
    np.maximum.at(high, group, rtt_ms)
    mean = np.bincount(group, rtt_ms, minlength=groups) / count
    # Rounding can put the mean of equal values outside of them.
    mean = np.clip(mean, low, high)
    squares = np.bincount(group, (rtt_ms - mean[group]) ** 2, minlength=groups)
    std_dev = np.sqrt(squares / np.maximum(count - 1, 1))
    return zip(
        count.tolist(), low.tolist(), mean.tolist(), high.tolist(), std_dev.tolist(), strict=True
    )


def _hop(ttl: int, sent: Sequence[int], answered: list[tuple[_Key, rows.Node]] | None) -> rows.Hop:
    packets = sent[ttl - 1] if ttl <= len(sent) else 0
    if answered is None:
        return rows.Hop(
            packets_ttl=ttl, packets_sent=packets, packets_lost=packets, nodes=[rows.SILENCE]
        )
    if len(answered) > 1:
        answered.sort(
            key=lambda each: (-each[1].packet_count, len(each[0][0]), each[0][0], each[0][1])
        )
    nodes = [node for _, node in answered]
    answers = sum(node.packet_count for node in nodes)
    return rows.Hop(
        packets_ttl=ttl,
        packets_sent=max(packets, answers),
        packets_lost=max(packets - answers, 0),
        nodes=nodes,
    )


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
