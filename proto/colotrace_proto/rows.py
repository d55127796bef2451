"""The shape of the API's answer: what `result[]` is made of, as msgspec writes it.

Field order is the order on the wire. A field that is `UNSET` is absent.
"""

import msgspec
from msgspec import UNSET, UnsetType

NO_RESPONSE = "NO RESPONSE"
UNKNOWN_ASN = "*"


class Node(msgspec.Struct, frozen=True, gc=False):
    """An address that answered at a hop; RTTs in milliseconds.

    Built from columns by `tally`, so that its fields may be positional.
    """

    asn: str
    ip: str
    name: str
    packet_count: int
    min_rtt_ms: float | UnsetType = UNSET
    mean_rtt_ms: float | UnsetType = UNSET
    max_rtt_ms: float | UnsetType = UNSET
    std_dev_rtt_ms: float | UnsetType = UNSET
    labels: list[str] | UnsetType = UNSET


SILENCE = Node(asn="", ip="", name=NO_RESPONSE, packet_count=0)
"""What stands at a hop where nothing answered."""


class Hop(msgspec.Struct, frozen=True, gc=False):
    """All probes of one TTL. See `Node`."""

    packets_ttl: int
    packets_sent: int
    packets_lost: int
    nodes: list[Node]


class TargetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The target over the probes that it answered; the same times under both families of keys."""

    asn: str
    ip: str
    name: str
    packet_count: int
    min_latency_ms: float | UnsetType = UNSET
    mean_latency_ms: float | UnsetType = UNSET
    max_latency_ms: float | UnsetType = UNSET
    std_dev_latency_ms: float | UnsetType = UNSET
    min_rtt_ms: float | UnsetType = UNSET
    mean_rtt_ms: float | UnsetType = UNSET
    max_rtt_ms: float | UnsetType = UNSET
    std_dev_rtt_ms: float | UnsetType = UNSET


class Colo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a row was measured."""

    city: str
    name: str


class Link(msgspec.Struct, frozen=True, kw_only=True, rename={"near": "from", "far": "to"}):
    """Flows that were seen at one address and, one TTL further, at another.

    `ttl` is the nearer end's.
    """

    ttl: int
    near: str
    far: str
    flows: int


class ColoRow(msgspec.Struct, frozen=True, kw_only=True):
    """One colo's part of a target's row."""

    colo: Colo
    error: str
    hops: list[Hop]
    target_summary: TargetSummary
    traceroute_time_ms: int
    links: list[Link] | UnsetType = UNSET
    """Only where load-balanced paths were asked for."""


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One element of `result[]`: a target, as it was asked for, seen from each colo."""

    target: str
    colos: list[ColoRow]


def error_text(code: int) -> str:
    """The `error` of a colo's row for code 1 to 4; "" for 0."""
    return f"Could not gather traceroute data: Code {code}" if code else ""
