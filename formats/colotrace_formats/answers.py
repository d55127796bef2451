"""What formats of other tools ask of a row beyond the API's fields: each answer by itself, probe
sizes, and the ICMP messages that answers were."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from colotrace_proto.messages import Node, NodeKind, PacketType

from .shown import Row

_IPV6_BYTES = 16
_NS_PER_MS = 1e6
_SIZES = {PacketType.ICMP: (44, 64), PacketType.UDP: (44, 64), PacketType.TCP: (44, 64),
          PacketType.GRE: (72, 112)}  # fmt: skip
_MPLS = re.compile(r"MPLS:L=(\d+),E=(\d+),S=(\d+),T=(\d+)\Z")
_QUOTED_TTL = re.compile(r"QTTL=(\d+)\Z")
_TOO_BIG = re.compile(r"!F-(\d+)\Z")
_NUMBER = re.compile(r"!<(\d+)>\Z")
# The codes of ICMP "destination unreachable" by traceroute's letter: the first of those that have
# it (RFC 792 and RFC 1812 section 5.2.7.1; RFC 4443 section 3.1).
_CODES = {"!N": 0, "!H": 1, "!P": 2, "!S": 5, "!X": 13, "!V": 14, "!C": 15}
_CODES_V6 = {"!N": 0, "!X": 1, "!H": 3}


class Answer(NamedTuple):
    """One answer. `node` has the address, packed, and the labels."""

    rtt_ms: float
    node: Node


class Refusal(NamedTuple):
    """What a label says of a refusal: traceroute's letter (`H`), the code of "destination
    unreachable", and the MTU; None where it says no such thing."""

    letter: str | None
    code: int | None
    mtu: int | None = None


class Mpls(NamedTuple):
    """An entry of a label stack (RFC 3032)."""

    label: int
    exp: int
    s: int
    ttl: int


def by_ttl(row: Row) -> list[list[Answer]]:
    """The answers at TTL 1, 2, 3 … up to the row's end, in the order of the probes, flow by flow.
    Agents of release 0.2 do not report that order; theirs is the order of arrival."""
    replies = row.trace.gathered.replies
    hops: list[list[Answer]] = [[] for _ in row.shown.hops]
    ttls, nodes, known = replies.ttl, replies.node, replies.nodes
    times = (np.array(replies.rtt_ns, np.float64) / _NS_PER_MS).tolist()
    order: Iterable[int] = range(len(ttls))
    if replies.ordinal:
        # A row may have thousands of answers.
        order = np.lexsort((replies.ordinal, replies.flow or replies.ordinal)).tolist()
    for line in order:
        ttl = ttls[line]
        if ttl <= len(hops):
            hops[ttl - 1].append(Answer(times[line], known[nodes[line]]))
    return hops


def is_ipv6(row: Row) -> bool:
    """Whether the probes were IPv6."""
    return len(row.trace.gathered.target_address) == _IPV6_BYTES


def probe_size(row: Row) -> int:
    """Bytes of a probe with its IP header; of the larger one of a combination."""
    kinds = row.summary.options.packet_type.parts
    return max(_SIZES[kind][is_ipv6(row)] for kind in kinds)


def refusal(labels: Sequence[str], *, ipv6: bool) -> Refusal | None:
    """What the labels say of a refusal; None if there was none."""
    for label in labels:
        if not label.startswith("!"):
            continue
        if found := _TOO_BIG.match(label):
            return Refusal("F", None if ipv6 else 4, int(found[1]))
        if found := _NUMBER.match(label):
            return Refusal(None, int(found[1]))
        return Refusal(label[1:], (_CODES_V6 if ipv6 else _CODES).get(label))
    return None


def icmp_answer(node: Node, packet_type: PacketType, *, ipv6: bool) -> tuple[int, int] | None:
    """Type and code of the ICMP message that the answer was; None if that is not recorded. Several
    codes that traceroute shows by one letter count as the first of them."""
    refused = refusal(node.labels, ipv6=ipv6)
    if refused is not None:
        if refused.mtu is not None and ipv6:
            return (2, 0)  # packet too big
        return None if refused.code is None else (1 if ipv6 else 3, refused.code)
    if node.kind is NodeKind.TRANSIT:
        return (3, 0) if ipv6 else (11, 0)  # time exceeded in transit
    if node.kind is NodeKind.TARGET and packet_type is PacketType.ICMP:
        return (129, 0) if ipv6 else (0, 0)  # echo reply
    return None


def mpls_stack(labels: Sequence[str]) -> list[Mpls]:
    """The entries of the label stack that the probe bore, top first."""
    found = (_MPLS.match(label) for label in labels)
    return [Mpls(*map(int, each.groups())) for each in found if each]


def quoted_ttl(labels: Sequence[str]) -> int | None:
    """The TTL that the quoted probe had left; None if it was 1, as it should be."""
    found = next(filter(None, map(_QUOTED_TTL.match, labels)), None)
    return int(found[1]) if found else None
