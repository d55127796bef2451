"""GRE packets with a key, and an echo request to the target inside (RFC 2784, RFC 2890).

The key identifies the flow: it lies in the first 8 bytes, which every router quotes (RFC 792), and
load balancers hash it. The echo request's sequence number identifies a probe. Only routers that
quote the whole packet show it, together with the tag; otherwise the IPv4 identification identifies
the probe, and in IPv6 nothing does. The outer TTL is the one that expires. A host with a tunnel
unpacks the probe and answers the echo request; other hosts answer "protocol unreachable".
"""

import socket
import struct

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import AnswerKind, FlowKey, Heard, Unheard

from . import bpf
from .chain import NEXT_HEADER_AT
from .checksum import MODULUS, checksum, ones_sum, pseudo_header
from .format import Columns, ProbeFormat, Quoted, Tap
from .icmp import ECHO_HEADER as _ECHO_HEADER
from .icmp import NUMBERING, echo_steering
from .icmp import PROTOCOL as ICMP
from .icmp import PROTOCOL_V6 as ICMPV6
from .icmp import REPLY as _REPLIES
from .icmp import REQUEST as _REQUESTS
from .payload import PAYLOAD, cut_of, tag_in
from .probe import Writer, write_addresses
from .template import IP_HEADERS, IPV4_HEADER, IPV6_HEADER

PROTOCOL = 47

_HEADER = 8
_KEY_AT = 4
# Flags and version (RFC 2890 section 2). Our probes have the key, and nothing else.
_HAS_CHECKSUM, _HAS_KEY, _HAS_SEQUENCE = 0x8000, 0x2000, 0x1000
_KNOWN_FLAGS = _HAS_CHECKSUM | _HAS_KEY | _HAS_SEQUENCE
_ETHERTYPES = {0x0800: Family.IPV4, 0x86DD: Family.IPV6}

_FIELDS = struct.Struct("!HH8s")
_CHECKSUM, _IDENTIFIER, _SEQUENCE = 2, 4, 6


class GreWriter(Writer):
    """Writes GRE packets with an echo request inside."""

    def write_flow(self, packet: bytearray) -> None:
        flow, inner = self.flow, self.transport + _HEADER
        struct.pack_into("!I", packet, self.transport + _KEY_AT, flow.identifier)
        self._echo = inner + IP_HEADERS[flow.family]
        write_addresses(packet, flow, end=self._echo)
        total = 0
        if flow.family is Family.IPV4:
            header = ones_sum(memoryview(packet)[inner : self._echo])
            struct.pack_into("!H", packet, inner + 10, checksum(header))
        else:
            length = len(packet) - self._echo
            pseudo = pseudo_header(flow.source, flow.target, protocol=ICMPV6, length=length)
            total += ones_sum(pseudo)
        struct.pack_into("!H", packet, self._echo + _IDENTIFIER, flow.identifier & 0xFFFF)
        total += ones_sum(memoryview(packet)[self._echo :])
        struct.pack_into("!H", packet, self._echo + _CHECKSUM, checksum(total))

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        sequence = NUMBERING.number(self.flow.first_number, ordinal)
        tag, steering = self.flow.marks.tag(ordinal), echo_steering(self.flow, ordinal)
        _FIELDS.pack_into(packet, self._echo + _SEQUENCE, sequence, steering, tag)


def gre_identity(transport: bytes) -> Quoted | None:
    """Identity of a quoted GRE probe; number and tag are None if the quote is too short. None: not
    a probe."""
    if len(transport) < _HEADER:
        return None
    flags, ethertype, key = struct.unpack_from("!HHI", transport)
    family = _ETHERTYPES.get(ethertype)
    if flags != _HAS_KEY or family is None:
        return None
    inner = transport[_HEADER:]
    if _icmp_at(inner, family) is None and len(inner.rstrip(b"\0")) >= IP_HEADERS[family]:
        return None
    echo = _echo_in(inner, family)
    if echo is None or not any(echo[:_ECHO_HEADER]):  # not quoted, or padded with zeros
        return Quoted(key, 0, None)
    kind, code, _, identifier, sequence = struct.unpack_from("!BBHHH", echo)
    if kind != _REQUESTS[family] or code or identifier != key & 0xFFFF:
        return None
    payload = echo[_ECHO_HEADER:]
    return Quoted(key, 0, sequence, tag_in(payload), cut_of(payload))


def decode_gre_packet(packet: bytes, responder: bytes) -> Heard | Unheard:
    """Reads a GRE packet without its outer IP header: an echo reply through the tunnel, whose own
    key is ignored, or a probe that arrived at the host that sent it."""
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
    """A probe to the host that sent it, which counts as its answer: the kernel sends no "protocol
    unreachable" for a protocol that a raw socket receives."""
    at, length = (12, 4) if family is Family.IPV4 else (8, 16)
    identity = gre_identity(packet)
    # From another address, it belongs to another host, or was reflected by one.
    if identity is None or identity.tag is None or inner[at : at + length] != source:
        return Unheard.NOT_OURS
    target = inner[at + length : at + 2 * length]
    key = FlowKey(PacketType.GRE, target, identity.identifier, 0)
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
    """The inner packet's ICMP message, up to the packet's stated length; None if its header is cut
    or the packet is not ICMP."""
    start = _icmp_at(inner, family)
    echo = b"" if start is None else inner[start : _length(inner, family)]
    return echo if len(echo) >= _ECHO_HEADER else None


def _icmp_at(inner: bytes, family: Family) -> int | None:
    """Offset of the inner packet's ICMP message; None if the IP header is cut or the packet is not
    ICMP."""
    if len(inner) < IP_HEADERS[family]:
        return None
    if family is Family.IPV6:
        ours = inner[0] >> 4 == 6 and inner[NEXT_HEADER_AT] == ICMPV6
        return IPV6_HEADER if ours else None
    start = (inner[0] & 0x0F) * 4
    ours = inner[0] >> 4 == 4 and inner[9] == ICMP and start >= IPV4_HEADER
    return start if ours and not int.from_bytes(inner[6:8], "big") & 0x1FFF else None


def _length(inner: bytes, family: Family) -> int:
    """The inner packet's stated length."""
    if family is Family.IPV4:
        return int.from_bytes(inner[2:4], "big")
    return IPV6_HEADER + int.from_bytes(inner[4:6], "big")


# Offsets that the filter reads. All but the first two lie behind the GRE header's first 4 bytes and
# its optional fields, and the last two also behind the inner IP header.
_GRE_FLAGS, _ETHERTYPE = 0, 2
_INNER_VERSION, _INNER_FRAGMENT, _INNER_PROTOCOL, _INNER_NEXT_HEADER = 4, 4 + 6, 4 + 9, 4 + 6
_ECHO_TYPE, _PAYLOAD_END = 4, 4 + 8 + len(PAYLOAD) - 4
_UNKNOWN_GRE_FLAGS, _KEY_ALONE = 0x4FFF, 0x2000


def gre_answers(*, ip_header: bool) -> list[bpf.Instruction]:
    """Filter that keeps echo replies inside any tunnel, and probes of an agent.

    A probe that arrives at its own host is its answer. Its flags and the end of its payload
    distinguish it from the traffic of the host's tunnels.
    """
    inner_ipv4 = [
        (bpf.LD_BYTE_BEHIND, 0, 0, _INNER_PROTOCOL),
        (bpf.JUMP_EQUAL, 0, bpf.DROP, socket.IPPROTO_ICMP),
        (bpf.LD_HALF_BEHIND, 0, 0, _INNER_FRAGMENT),
        (bpf.JUMP_ANY_BIT, bpf.DROP, 0, 0x1FFF),
        (bpf.LD_BYTE_BEHIND, 0, 0, _INNER_VERSION),
        (bpf.AND, 0, 0, 0x0F),
        (bpf.SHIFT_LEFT, 0, 0, 2),
    ]
    inner_ipv6 = [
        (bpf.JUMP_EQUAL, 0, bpf.DROP, 6),
        (bpf.LD_BYTE_BEHIND, 0, 0, _INNER_NEXT_HEADER),
        (bpf.JUMP_EQUAL, 0, bpf.DROP, socket.IPPROTO_ICMPV6),
        (bpf.LD_CONSTANT, 0, 0, 40),
    ]
    program = [
        (bpf.LDX_HEADER_LENGTH if ip_header else bpf.LDX_CONSTANT, 0, 0, 0),
        (bpf.LD_HALF_BEHIND, 0, 0, _ETHERTYPE),
        (bpf.JUMP_EQUAL, 1, 0, 0x0800),
        (bpf.JUMP_EQUAL, 0, bpf.DROP, 0x86DD),
        (bpf.LD_HALF_BEHIND, 0, 0, _GRE_FLAGS),
        (bpf.JUMP_ANY_BIT, bpf.DROP, 0, _UNKNOWN_GRE_FLAGS),
        (bpf.STORE, 0, 0, 0),
        # Checksum, key and sequence: each flag, shifted to mean 4, adds as many bytes.
        *(step for places in (13, 11, 10) for step in _add_flag(places=places)),
        (bpf.LD_BYTE_BEHIND, 0, 0, _INNER_VERSION),
        (bpf.SHIFT_RIGHT, 0, 0, 4),
        (bpf.JUMP_EQUAL, 0, len(inner_ipv4) + 1, 4),
        *inner_ipv4,
        (bpf.JUMP, 0, 0, len(inner_ipv6)),
        *inner_ipv6,
        (bpf.ADD_INDEX, 0, 0, 0),
        (bpf.TO_INDEX, 0, 0, 0),
        (bpf.LD_BYTE_BEHIND, 0, 0, _ECHO_TYPE),
        (bpf.JUMP_EQUAL, 7, 0, 0),
        (bpf.JUMP_EQUAL, 6, 0, 129),
        (bpf.JUMP_EQUAL, 1, 0, 8),
        (bpf.JUMP_EQUAL, 0, bpf.DROP, 128),
        (bpf.LD_STORED, 0, 0, 0),
        (bpf.JUMP_EQUAL, 0, bpf.DROP, _KEY_ALONE),
        (bpf.LD_WORD_BEHIND, 0, 0, _PAYLOAD_END),
        (bpf.JUMP_EQUAL, 0, bpf.DROP, int.from_bytes(PAYLOAD[-4:], "big")),
    ]
    return bpf.with_drops(program)


def _add_flag(*, places: int) -> list[bpf.Instruction]:
    return [
        (bpf.LD_STORED, 0, 0, 0),
        (bpf.SHIFT_RIGHT, 0, 0, places),
        (bpf.AND, 0, 0, 4),
        (bpf.ADD_INDEX, 0, 0, 0),
        (bpf.TO_INDEX, 0, 0, 0),
    ]


def _columns(family: Family) -> Columns:
    echo = _HEADER + IP_HEADERS[family]
    return Columns(
        number=slice(echo + _SEQUENCE, echo + _ECHO_HEADER),
        payload=echo + _ECHO_HEADER,
        checksum=slice(echo + _CHECKSUM, echo + _IDENTIFIER),
        identifier=slice(_KEY_AT, _HEADER),
    )


FORMAT = ProbeFormat(
    packet_type=PacketType.GRE,
    protocols=dict.fromkeys(Family, PROTOCOL),
    writer=GreWriter,
    quoted=lambda transport, _: gre_identity(transport),
    numbering=NUMBERING,
    # The low half is the inner echo request's identifier, and rarely 0.
    identifiers=range(1, 1 << 32),
    columns={family: _columns(family) for family in Family},
    tap=Tap(decode_gre_packet, gre_answers),
    steering=echo_steering,
    number_quoted=False,
    inner=PacketType.ICMP,
)
