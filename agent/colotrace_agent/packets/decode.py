"""From a received packet's bytes to what it may answer.

Every length is checked before it is used, and every quoted field is taken as what somebody
claims: whether it answers a probe of ours is for the engine to say.
"""

import struct

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import AnswerKind, FlowKey, Heard, Unheard

from . import gre, icmp, tcp, udp
from .annotations import annotate, quoted_ttl
from .chain import NEXT_HEADER_AT, upper_of
from .checksum import MODULUS, ones_sum, pseudo_header
from .extensions import split
from .payload import cut_of, tag_in
from .template import IPV4_HEADER, IPV6_HEADER

_ECHO_REQUEST, _ECHO_REQUEST_V6 = 8, 128
_ECHO_REPLY, _ECHO_REPLY_V6 = 0, 129
_ERROR_HEADER = 8
_TRANSPORT_QUOTED = 8  # what RFC 792 promises of the quoted packet beyond its IP header

# ICMP types (RFC 792) and ICMPv6 types (RFC 4443) that quote a packet.
_ERRORS = {3: AnswerKind.UNREACHABLE, 11: AnswerKind.TIME_EXCEEDED, 12: AnswerKind.PARAMETER}
_ERRORS_V6 = {
    1: AnswerKind.UNREACHABLE,
    2: AnswerKind.TOO_BIG,
    3: AnswerKind.TIME_EXCEEDED,
    4: AnswerKind.PARAMETER,
}
# The quoted IP headers as far as they matter: version and header length, traffic class, (IPv4)
# identification, fragment offset, TTL, protocol, source, target.
_QUOTED = struct.Struct("!BB2xHHBB2x4s4s")
_ECHO = struct.Struct("!4xHH")
_PORTS = struct.Struct("!HH")
_PARAMETER_PROBLEM = 12
_OFFSET = 0x1FFF  # in units of 8 bytes, below three flags
_REASSEMBLY = 1  # the code of time-exceeded that has nothing to do with a TTL

_PROTOCOLS = {
    icmp.PROTOCOL: PacketType.ICMP,
    udp.PROTOCOL: PacketType.UDP,
    tcp.PROTOCOL: PacketType.TCP,
    gre.PROTOCOL: PacketType.GRE,
}
_PROTOCOLS_V6 = {
    icmp.PROTOCOL_V6: PacketType.ICMP,
    udp.PROTOCOL: PacketType.UDP,
    tcp.PROTOCOL: PacketType.TCP,
    gre.PROTOCOL: PacketType.GRE,
}


def decode_icmp(packet: bytes) -> Heard | Unheard:
    """An IPv4 packet from a raw ICMP socket, IP header included."""
    start = _ipv4_payload(packet, icmp.PROTOCOL)
    if start is None or len(packet) < start + _ERROR_HEADER:
        return Unheard.MALFORMED
    message = packet[start:]
    heard = _icmp(message, packet[12:16])
    # Raw sockets see a packet before the kernel has checked this. Translators that change a quote
    # without it spoil it: then it is for the engine to say whether the probe verifies.
    if ones_sum(message):
        return heard._replace(intact=False) if isinstance(heard, Heard) else Unheard.MALFORMED
    return heard


def _icmp(message: bytes, responder: bytes) -> Heard | Unheard:
    kind, code = message[0], message[1]
    if kind == _ECHO_REPLY:
        return _echo_reply(message, responder)
    if kind not in _ERRORS:
        return Unheard.NOT_OURS
    # The next hop's MTU (RFC 1191), or a pointer (RFC 792).
    info = message[4] if kind == _PARAMETER_PROBLEM else int.from_bytes(message[6:8], "big")
    return _error(_ERRORS[kind], code, responder, info=info, message=message)


def _echo_reply(message: bytes, responder: bytes) -> Heard:
    identifier, sequence = _ECHO.unpack_from(message)
    key = FlowKey(PacketType.ICMP, responder, identifier, 0)
    payload = message[_ERROR_HEADER:]
    return Heard(
        AnswerKind.ECHO_REPLY, responder, key, sequence, tag=tag_in(payload), cut=cut_of(payload)
    )


def decode_icmp6(message: bytes, responder: bytes) -> Heard | Unheard:
    """An ICMPv6 message, which comes without its IP header.

    Its checksum covers the address that it was sent to. An error's is the quoted source, unless
    that was translated; of an echo reply, what it echoes tells whether it is sound.
    """
    if len(message) < _ERROR_HEADER:
        return Unheard.MALFORMED
    heard = _icmp6(message, responder)
    if message[0] not in _ERRORS_V6 or len(message) < _ERROR_HEADER + IPV6_HEADER:
        return heard
    pseudo = pseudo_header(
        responder, message[16:32], protocol=icmp.PROTOCOL_V6, length=len(message)
    )
    if (ones_sum(pseudo) + ones_sum(message)) % MODULUS:
        return heard._replace(intact=False) if isinstance(heard, Heard) else Unheard.MALFORMED
    return heard


def _icmp6(message: bytes, responder: bytes) -> Heard | Unheard:
    kind, code = message[0], message[1]
    if kind == _ECHO_REPLY_V6:
        return _echo_reply(message, responder)
    if kind not in _ERRORS_V6:
        return Unheard.NOT_OURS
    info = int.from_bytes(message[4:8], "big")
    return _error6(_ERRORS_V6[kind], code, responder, info=info, message=message)


def decode_tcp(packet: bytes) -> Heard | Unheard:
    """An IPv4 packet from a raw TCP socket, IP header included.

    The TCP checksum is not looked at: what comes over a virtual interface has it left to the
    hardware, and so not filled in. The acknowledgement number tells an answer from noise.
    """
    start = _ipv4_payload(packet, tcp.PROTOCOL)
    if start is None:
        return Unheard.MALFORMED
    return decode_tcp_segment(packet[start:], packet[12:16])


def decode_tcp_segment(segment: bytes, responder: bytes) -> Heard | Unheard:
    """A TCP segment without its IP header, as raw IPv6 sockets give it."""
    if len(segment) < 20:
        return Unheard.MALFORMED
    port, identifier, _, acknowledged, _, flags = struct.unpack_from("!HHIIBB", segment)
    key = FlowKey(PacketType.TCP, responder, identifier, port)
    if flags & tcp.FLAGS == tcp.ACK:
        # It challenges a SYN, and acknowledges what a connection from before has sent
        # (RFC 5961 section 4): the target is up, and no probe is named.
        return Heard(AnswerKind.CHALLENGE, responder, key, None)
    # A SYN-ACK or a reset answers a SYN.
    if not (flags & tcp.RST or (flags & tcp.SYN and flags & tcp.ACK)):
        return Unheard.NOT_OURS
    # Some firewalls fill in what a reset acknowledges and leave the flag away.
    number = acknowledged if flags & tcp.ACK or acknowledged else None
    return Heard(AnswerKind.TCP, responder, key, number)


def decode_udp(packet: bytes) -> Heard | Unheard:
    """An IPv4 packet from a raw UDP socket, IP header included; its checksum is not looked at."""
    start = _ipv4_payload(packet, udp.PROTOCOL)
    if start is None:
        return Unheard.MALFORMED
    return decode_udp_datagram(packet[start:], packet[12:16])


def decode_udp_datagram(datagram: bytes, responder: bytes) -> Heard | Unheard:
    """A UDP datagram without its IP header: it quotes nothing, so the flow is all that it names."""
    if len(datagram) < 8:
        return Unheard.MALFORMED
    port, identifier = _PORTS.unpack_from(datagram)
    key = FlowKey(PacketType.UDP, responder, identifier, port)
    return Heard(AnswerKind.DATAGRAM, responder, key, None)


def _ipv4_payload(packet: bytes, protocol: int) -> int | None:
    """Where the payload of a whole, unfragmented IPv4 packet of that protocol begins."""
    if len(packet) < IPV4_HEADER or packet[0] >> 4 != 4 or packet[9] != protocol:
        return None
    start = (packet[0] & 0x0F) * 4
    return start if IPV4_HEADER <= start <= len(packet) else None


def _error(
    kind: AnswerKind, code: int, responder: bytes, *, info: int, message: bytes
) -> Heard | Unheard:
    if kind is AnswerKind.TIME_EXCEEDED and code == _REASSEMBLY:
        return Unheard.NOT_OURS
    quote, labels = split(message, family=Family.IPV4)
    if len(quote) < IPV4_HEADER:
        return Unheard.MALFORMED
    version, _, ip_id, fragment, ttl, protocol, source, target = _QUOTED.unpack_from(quote)
    start = (version & 0x0F) * 4  # the quoted packet may have gained options on its way
    if version >> 4 != 4 or start < IPV4_HEADER or len(quote) < start + _TRANSPORT_QUOTED:
        return Unheard.MALFORMED
    packet_type = _PROTOCOLS.get(protocol)
    if packet_type is None or _is_later_fragment(fragment):
        return Unheard.NOT_OURS
    identity = _quoted_identity(packet_type, quote[start:], _ECHO_REQUEST)
    if identity is None:
        return Unheard.NOT_OURS
    identifier, port, number, tag, cut = identity
    key = FlowKey(packet_type, target, identifier, port)
    changed = annotate(quote, family=Family.IPV4, expired=kind is AnswerKind.TIME_EXCEEDED)
    return Heard(
        kind, responder, key, number, ip_id, tag, source, code, info, ttl, changed + labels, cut
    )


def _error6(
    kind: AnswerKind, code: int, responder: bytes, *, info: int, message: bytes
) -> Heard | Unheard:
    if kind is AnswerKind.TIME_EXCEEDED and code == _REASSEMBLY:
        return Unheard.NOT_OURS
    quote, labels = split(message, family=Family.IPV6)
    if len(quote) < IPV6_HEADER or quote[0] >> 4 != 6:
        return Unheard.MALFORMED
    upper = upper_of(quote)
    if upper is None:
        return Unheard.NOT_OURS
    protocol, start, named_at = upper
    if len(quote) < start + _TRANSPORT_QUOTED:
        return Unheard.MALFORMED
    if kind is AnswerKind.PARAMETER and info == named_at:
        info = NEXT_HEADER_AT  # where it is without headers that were put in on the way
    packet_type = _PROTOCOLS_V6.get(protocol)
    if packet_type is None:
        return Unheard.NOT_OURS
    identity = _quoted_identity(packet_type, quote[start:], _ECHO_REQUEST_V6)
    if identity is None:
        return Unheard.NOT_OURS
    identifier, port, number, tag, cut = identity
    key = FlowKey(packet_type, quote[24:40], identifier, port)
    ttl = quoted_ttl(quote, Family.IPV6)
    changed = annotate(quote, family=Family.IPV6, expired=kind is AnswerKind.TIME_EXCEEDED)
    return Heard(
        kind, responder, key, number, None, tag, quote[8:24], code, info, ttl, changed + labels, cut
    )


def _is_later_fragment(field: int) -> bool:
    """Whether flags and fragment offset are those of a fragment other than the first.

    Some hosts quote the field with its bytes swapped, and may have set its flags.
    """
    swapped = (field & 0xFF) << 8 | field >> 8
    return bool(field & _OFFSET and swapped & _OFFSET)


def _quoted_identity(
    packet_type: PacketType, transport: bytes, echo_request: int
) -> tuple[int, int, int | None, bytes | None, bytes] | None:
    """What a quoted probe says of itself from the transport header on: the flow's identifier and
    port, the probe's number and tag, None where it does not, and what is left of a cut payload;
    None for no probe of ours."""
    payload = transport[8:]
    if packet_type is PacketType.ICMP:
        if transport[0] != echo_request or transport[1]:
            return None
        identifier, number = _ECHO.unpack_from(transport)
        return identifier, 0, number, tag_in(payload), cut_of(payload)
    if packet_type is PacketType.GRE:
        inner = gre.gre_identity(transport)
        return inner and (inner.key, 0, inner.number, inner.tag, inner.cut)
    identifier, port = _PORTS.unpack_from(transport)
    if packet_type is PacketType.UDP:
        # 0 is no checksum, which ours never are: a router has cleared it.
        number = int.from_bytes(transport[6:8], "big") or None
        return identifier, port, number, tag_in(payload), cut_of(payload)
    return identifier, port, int.from_bytes(transport[4:8], "big"), None, b""
