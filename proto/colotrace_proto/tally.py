"""The API's rows from the agents' replies: path ends, hops, nodes and RTT statistics.

numpy computes the statistics of all rows of an answer together. Each reply gets the number of its
group, a node at a TTL. Count, minimum, mean and maximum of all groups come from one pass over the
replies, in float64 milliseconds. The sample standard deviation takes a second pass: sums of squares
would show rounding errors.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from . import rows
from .ends import refused_at
from .messages import Edge, Node, NodeKind, PacketType, Replies

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


class _Times(NamedTuple):
    """RTT statistics of one group of replies, in milliseconds."""

    replies: int
    min: float
    mean: float
    max: float
    std_dev: float


_RTT = tuple(f"{name}_rtt_ms" for name in _Times._fields[1:])
_LATENCY = tuple(f"{name}_latency_ms" for name in _Times._fields[1:])


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
    nodes = [replies.nodes[node] for node in replies.node]
    answers = [(ttl, n.kind, n.address) for ttl, n in zip(replies.ttl, nodes, strict=True)]
    ends = [ttl for ttl, kind, _ in answers if kind is NodeKind.TARGET]
    if ends:
        first = min(ends)
        others = (ttl for ttl, kind, _ in answers if kind is not NodeKind.TARGET)
        furthest = max(others, default=0)
        if not gathered.own_ends or furthest < first:
            return first
        return min((ttl for ttl in ends if ttl > furthest), default=furthest)
    refused = refused_at(answers)
    if refused is not None:
        return refused
    if gathered.unplaced:
        return max(replies.ttl, default=0)
    return max((ttl for ttl, sent in enumerate(gathered.sent, 1) if sent), default=0)


def addresses(gathered: Sequence[Gathered]) -> set[str]:
    """All addresses in the rows, as text: those to look up names and ASNs for."""
    found = {_text(g.target_address) for g in gathered if g.target_address}
    for g in gathered:
        end = path_end(g)
        shown = {n for ttl, n in zip(g.replies.ttl, g.replies.node, strict=True) if ttl <= end}
        found.update(_text(g.replies.nodes[n].address) for n in shown)
    return found


def colo_rows(gathered: Sequence[Gathered], known: Known = NOTHING_KNOWN) -> list[rows.ColoRow]:
    """The rows, in the order given."""
    # One group for each (trace, TTL, address, labels), and one for each trace's target.
    groups: dict[tuple[int, int, bytes, tuple[str, ...]], int] = {}
    line_group: list[int] = []
    line_rtt: list[int] = []
    ends = [path_end(g) for g in gathered]
    for index, (g, end) in enumerate(zip(gathered, ends, strict=True)):
        replies = g.replies
        for ttl, rtt, n in zip(replies.ttl, replies.rtt_ns, replies.node, strict=True):
            if ttl > end:
                continue
            node = replies.nodes[n]
            key = (index, ttl, node.address, node.labels)
            line_group.append(groups.setdefault(key, len(groups)))
            line_rtt.append(rtt)
            if node.kind is NodeKind.TARGET:
                key = (index, 0, b"", ())
                line_group.append(groups.setdefault(key, len(groups)))
                line_rtt.append(rtt)
    times = _statistics(
        np.array(line_group, dtype=np.intp),
        np.array(line_rtt, dtype=np.float64) / _NS_PER_MS,
        len(groups),
    )

    nodes: dict[tuple[int, int], list[tuple[bytes, tuple[str, ...], _Times]]] = {}
    targets: dict[int, _Times] = {}
    for (index, ttl, address, labels), group in groups.items():
        if ttl:
            nodes.setdefault((index, ttl), []).append((address, labels, times[group]))
        else:
            targets[index] = times[group]
    return [
        rows.ColoRow(
            colo=g.colo,
            error=rows.error_text(g.code),
            hops=[
                _hop(ttl, g.sent, nodes.get((index, ttl), []), known) for ttl in range(1, end + 1)
            ],
            target_summary=_summary(g, targets.get(index), known),
            traceroute_time_ms=round(g.duration_ns / _NS_PER_MS),
            links=UNSET if g.links is None else [_link(link) for link in g.links],
        )
        for index, (g, end) in enumerate(zip(gathered, ends, strict=True))
    ]


def _statistics(
    group: npt.NDArray[np.intp], rtt_ms: npt.NDArray[np.float64], groups: int
) -> list[_Times]:
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
    columns = (count, low, mean, high, std_dev)
    return list(map(_Times, *(column.tolist() for column in columns)))


def _hop(
    ttl: int,
    sent: Sequence[int],
    answered: list[tuple[bytes, tuple[str, ...], _Times]],
    known: Known,
) -> rows.Hop:
    packets = sent[ttl - 1] if ttl <= len(sent) else 0
    answers = sum(times.replies for _, _, times in answered)
    answered.sort(key=lambda node: (-node[2].replies, len(node[0]), node[0], node[1]))
    return rows.Hop(
        packets_ttl=ttl,
        packets_sent=max(packets, answers),
        packets_lost=max(packets - answers, 0),
        nodes=[_node(*node, known) for node in answered] or [rows.SILENCE],
    )


def _node(address: bytes, labels: tuple[str, ...], times: _Times, known: Known) -> rows.Node:
    ip = _text(address)
    return rows.Node(
        asn=known.asns.get(ip, rows.UNKNOWN_ASN),
        ip=ip,
        name=known.names.get(ip, ip),
        packet_count=times.replies,
        **dict(zip(_RTT, times[1:], strict=True)),
        labels=list(labels) if labels else UNSET,
    )


def _link(link: Edge) -> rows.Link:
    return rows.Link(ttl=link.ttl, near=_text(link.near), far=_text(link.far), flows=link.flows)


def _summary(gathered: Gathered, times: _Times | None, known: Known) -> rows.TargetSummary:
    if not gathered.target_address:
        return rows.TargetSummary(asn="", ip="", name=gathered.target, packet_count=0)
    ip = _text(gathered.target_address)
    # Without times the target did not answer, or only without naming a probe.
    return rows.TargetSummary(
        asn=known.asns.get(ip, rows.UNKNOWN_ASN),
        ip=ip,
        name=known.names.get(ip, ip),
        packet_count=times.replies if times else gathered.unplaced,
        **(dict(zip(_LATENCY + _RTT, 2 * times[1:], strict=True)) if times else {}),
    )


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
