"""The labels of a node: short texts beside its address that say what its answer said.

Labels that traceroute(8) also has look the same here. docs/guide.md explains each label to users.
"""

from collections.abc import Iterable
from typing import Final

from colotrace_proto.messages import MAX_LABEL, Family, PacketType

NAT: Final = "NAT"
"""The quoted probe has other addresses or ports than it left with."""
PROHIBITED: Final = "!X"
"""A filter forbids the probe."""
PARAMETER_PROBLEM: Final = "!P"
"""The protocol or a header is not known to the node."""

# By code of ICMP destination unreachable (RFC 792, RFC 1812 section 5.2.7.1).
_UNREACHABLE = {
    0: "!N", 1: "!H", 5: "!S", 6: "!N", 7: "!H", 8: "!N", 9: PROHIBITED, 10: PROHIBITED, 11: "!N",
    12: "!H", 13: PROHIBITED, 14: "!V", 15: "!C",
}  # fmt: skip
# The same for ICMPv6 (RFC 4443 section 3.1).
_UNREACHABLE_V6 = {0: "!N", 1: PROHIBITED, 2: "!H", 3: "!H", 5: PROHIBITED, 6: PROHIBITED}


def unreachable(code: int, family: Family) -> str:
    """The label of "destination unreachable" with that code: `!H`, or `!<code>` for a code that
    has no letter."""
    known = _UNREACHABLE if family is Family.IPV4 else _UNREACHABLE_V6
    return known.get(code, f"!<{code}>")


def too_big(mtu: int) -> str:
    """The label of "fragmentation needed" and "packet too big"; `mtu` is the next link's."""
    return f"!F-{mtu}"


def quoted_ttl(ttl: int) -> str:
    """The quoted probe had that TTL left, not 1."""
    return f"QTTL={ttl}"


def dscp(codepoint: int) -> str:
    """The quoted probe's differentiated services code point was changed to this one."""
    return f"DSCP={codepoint}"


def ecn(bits: int) -> str:
    """The quoted probe's congestion notification bits were changed to these."""
    return f"ECN={bits}"


def mpls(entry: int) -> str:
    """An entry of the MPLS label stack that the probe bore (RFC 3032 section 2.1), 32 bits."""
    return f"MPLS:L={entry >> 12},E={entry >> 9 & 7},S={entry >> 8 & 1},T={entry & 0xFF}"


def interface(role: str, properties: Iterable[str]) -> list[str]:
    """Labels of an interface of the router (RFC 5837): `INC:523,"eth0"`.

    The properties go into as few labels of `MAX_LABEL` characters as hold them. A property that is
    longer than a label is cut.
    """
    labels: list[str] = []
    room = MAX_LABEL - len(role) - 1
    for each in properties:
        fitting = each if len(each) <= room else each[: room - 1] + "…"
        if labels and len(labels[-1]) + 1 + len(fitting) <= MAX_LABEL:
            labels[-1] += f",{fitting}"
        else:
            labels.append(f"{role}:{fitting}")
    return labels


def interface_name(name: bytes) -> str:
    """An interface's name as a property of `interface`, in quotation marks."""
    return '"' + _escaped(name, besides=b'%"') + '"'


def zone(name: bytes) -> str:
    """The zone of a link-local address (RFC 4007): the name or index of the host's interface."""
    return f"%{_escaped(name, besides=b'%')}"


def answered_type(packet_type: PacketType) -> str:
    """The type of the answered probe, in jobs that send several types."""
    return packet_type.upper()


def _escaped(name: bytes, *, besides: bytes) -> str:
    """The name with %XX for each byte that is not printable ASCII, or is one of `besides`.

    A name that a router chose can then neither control a terminal nor mislead a parser.
    """
    return "".join(chr(c) if 0x21 <= c <= 0x7E and c not in besides else f"%{c:02X}" for c in name)
