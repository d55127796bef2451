"""GRE packets with a key, and an echo request to the target inside (RFC 2784, RFC 2890).

The flow's is the key: it lies in the first 8 bytes, which every router quotes (RFC 792), and is
what load balancers look at. A probe's number is the sequence of the echo request, which only
those show who quote the whole packet, and with it the payload's tag; else the IPv4 identification
tells the probe, and in IPv6 nothing does. The TTL that counts is the outer one. A host with a
tunnel unpacks the probe and answers the echo request like any other; all others say that they
know no such protocol.
"""

import struct
from typing import NamedTuple

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.engine.matching import echo_steering, number_of
from colotrace_agent.model import AnswerKind, Flow, FlowKey, Heard, Unheard

from .chain import NEXT_HEADER_AT
from .checksum import MODULUS, checksum, ones_sum, pseudo_header
from .icmp import PROTOCOL as ICMP
from .icmp import PROTOCOL_V6 as ICMPV6
from .payload import cut_of, tag_in
from .probe import Writer
from .template import IPV4_HEADER, IPV6_HEADER

PROTOCOL = 47

_HEADER = 8
_KEY_AT = 4
# Flags and version (RFC 2890 section 2). Our probes have the key, and nothing else.
_HAS_CHECKSUM, _HAS_KEY, _HAS_SEQUENCE = 0x8000, 0x2000, 0x1000
_KNOWN_FLAGS = _HAS_CHECKSUM | _HAS_KEY | _HAS_SEQUENCE
_ETHERTYPES = {0x0800: Family.IPV4, 0x86DD: Family.IPV6}

_IP_HEADERS = {Family.IPV4: IPV4_HEADER, Family.IPV6: IPV6_HEADER}
_ECHO_HEADER = 8
_REQUESTS = {Family.IPV4: 8, Family.IPV6: 128}
_REPLIES = {Family.IPV4: 0, Family.IPV6: 129}
_FIELDS = struct.Struct("!HH8s")
_CHECKSUM, _IDENTIFIER, _SEQUENCE = 2, 4, 6


class GreWriter(Writer):
    """Writes GRE packets with an echo request inside."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow, protocol=PROTOCOL)

    def write_flow(self, packet: bytearray) -> None:
        flow, inner = self.flow, self.transport + _HEADER
        struct.pack_into("!I", packet, self.transport + _KEY_AT, flow.identifier)
        total = flow.first_number
        if flow.family is Family.IPV4:
            self._echo = inner + IPV4_HEADER
            packet[inner + 12 : inner + 20] = flow.source + flow.target
            header = ones_sum(memoryview(packet)[inner : self._echo])
            struct.pack_into("!H", packet, inner + 10, checksum(header))
        else:
            self._echo = inner + IPV6_HEADER
            packet[inner + 8 : inner + 40] = flow.source + flow.target
            length = len(packet) - self._echo
            pseudo = pseudo_header(flow.source, flow.target, protocol=ICMPV6, length=length)
            total += ones_sum(pseudo)
        struct.pack_into("!H", packet, self._echo + _IDENTIFIER, flow.identifier & 0xFFFF)
        total += ones_sum(memoryview(packet)[self._echo :])
        struct.pack_into("!H", packet, self._echo + _CHECKSUM, checksum(total))

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        sequence, tag = number_of(self.flow, ordinal), self.flow.marks.tag(ordinal)
        steering = echo_steering(self.flow, ordinal)
        _FIELDS.pack_into(packet, self._echo + _SEQUENCE, sequence, steering, tag)


class GreIdentity(NamedTuple):
    """What a quoted GRE probe says of itself; number and tag None where too little is quoted."""

    key: int
    number: int | None
    tag: bytes | None
    cut: bytes = b""


def gre_identity(transport: bytes) -> GreIdentity | None:
    """The identity in what is quoted from the GRE header on; None for no probe of ours."""
    if len(transport) < _HEADER:
        return None
    flags, ethertype, key = struct.unpack_from("!HHI", transport)
    family = _ETHERTYPES.get(ethertype)
    if flags != _HAS_KEY or family is None:
        return None
    inner = transport[_HEADER:]
    if _icmp_at(inner, family) is None and len(inner.rstrip(b"\0")) >= _IP_HEADERS[family]:
        return None
    echo = _echo_in(inner, family)
    if echo is None or not any(echo[:_ECHO_HEADER]):  # not quoted, or filled up with zeros
        return GreIdentity(key, None, None)
    kind, code, _, identifier, sequence = struct.unpack_from("!BBHHH", echo)
    if kind != _REQUESTS[family] or code or identifier != key & 0xFFFF:
        return None
    payload = echo[_ECHO_HEADER:]
    return GreIdentity(key, sequence, tag_in(payload), cut_of(payload))


def decode_gre(packet: bytes) -> Heard | Unheard:
    """An IPv4 packet from a raw GRE socket, IP header included."""
    if len(packet) < IPV4_HEADER or packet[0] >> 4 != 4 or packet[9] != PROTOCOL:
        return Unheard.MALFORMED
    start = (packet[0] & 0x0F) * 4
    if not IPV4_HEADER <= start <= len(packet):
        return Unheard.MALFORMED
    return decode_gre_packet(packet[start:], packet[12:16])


def decode_gre_packet(packet: bytes, responder: bytes) -> Heard | Unheard:
    """A GRE packet without its outer IP header, as raw IPv6 sockets give it: an echo reply that
    came back through the tunnel, whose own key, if any, is the tunnel's affair; or a probe that
    arrived at its sender's own host."""
    if len(packet) < 4:
        return Unheard.MALFORMED
    flags, ethertype = struct.unpack_from("!HH", packet)
    family = _ETHERTYPES.get(ethertype)
    if flags & ~_KNOWN_FLAGS or family is None:
        return Unheard.NOT_OURS
    start = 4 + 4 * (flags & _KNOWN_FLAGS).bit_count()
    if flags & _HAS_CHECKSUM and ones_sum(packet):  # RFC 2784 section 2.5
        return Unheard.MALFORMED
    inner = packet[start:]
    echo = _echo_in(inner, family)
    if echo is None:
        return Unheard.NOT_OURS
    if len(inner) < _length(inner, family):
        return Unheard.MALFORMED
    if echo[0] == _REQUESTS[family]:
        return _arrival(packet, inner, family=family, source=responder)
    return _reply(inner, echo, family=family, responder=responder)


def _arrival(packet: bytes, inner: bytes, *, family: Family, source: bytes) -> Heard | Unheard:
    """A probe to the host that sent it. It is its own answer: of what a raw socket hears, the
    kernel does not say that it knows no such protocol."""
    at, length = (12, 4) if family is Family.IPV4 else (8, 16)
    identity = gre_identity(packet)
    # From another address it is another host's, or was sent back by one.
    if identity is None or identity.tag is None or inner[at : at + length] != source:
        return Unheard.NOT_OURS
    target = inner[at + length : at + 2 * length]
    key = FlowKey(PacketType.GRE, target, identity.key, 0)
    return Heard(AnswerKind.ECHO_REPLY, target, key, identity.number, tag=identity.tag)


def _reply(inner: bytes, echo: bytes, *, family: Family, responder: bytes) -> Heard | Unheard:
    kind, _, _, identifier, sequence = struct.unpack_from("!BBHHH", echo)
    if kind != _REPLIES[family]:
        return Unheard.NOT_OURS
    if family is Family.IPV4:
        source, pseudo = inner[12:16], 0
    else:
        source, target = inner[8:24], inner[24:40]
        header = pseudo_header(source, target, protocol=ICMPV6, length=len(echo))
        pseudo = ones_sum(header)
    intact = not (ones_sum(echo) + pseudo) % MODULUS
    key = FlowKey(PacketType.ICMP, source, identifier, 0)
    payload = echo[_ECHO_HEADER:]
    return Heard(
        AnswerKind.ECHO_REPLY, responder, key, sequence, tag=tag_in(payload), cut=cut_of(payload),
        intact=intact,
    )  # fmt: skip


def _echo_in(inner: bytes, family: Family) -> bytes | None:
    """What there is of the inner packet's ICMP message, up to where the packet says that it ends;
    None where that is not even its header, or the packet is another."""
    start = _icmp_at(inner, family)
    echo = b"" if start is None else inner[start : _length(inner, family)]
    return echo if len(echo) >= _ECHO_HEADER else None


def _icmp_at(inner: bytes, family: Family) -> int | None:
    """Where the inner packet's ICMP message begins; None where the packet is cut within its header,
    or another."""
    if len(inner) < _IP_HEADERS[family]:
        return None
    if family is Family.IPV6:
        ours = inner[0] >> 4 == 6 and inner[NEXT_HEADER_AT] == ICMPV6
        return IPV6_HEADER if ours else None
    start = (inner[0] & 0x0F) * 4
    ours = inner[0] >> 4 == 4 and inner[9] == ICMP and start >= IPV4_HEADER
    return start if ours and not int.from_bytes(inner[6:8], "big") & 0x1FFF else None


def _length(inner: bytes, family: Family) -> int:
    """How long the inner packet says that it is."""
    if family is Family.IPV4:
        return int.from_bytes(inner[2:4], "big")
    return IPV6_HEADER + int.from_bytes(inner[4:6], "big")
