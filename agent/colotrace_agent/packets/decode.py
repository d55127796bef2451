"""Reads ICMP messages: echo replies, and errors that quote a probe of any type.

Every length is checked before it is used. Every quoted field is a claim: `engine.matching` decides
whether the message answers a probe.
"""

import struct
from typing import NamedTuple

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import AnswerKind, FlowKey, Heard, Unheard

from . import icmp
from .annotations import annotate, quoted_ttl
from .chain import NEXT_HEADER_AT, upper_of
from .checksum import MODULUS, ones_sum, pseudo_header
from .extensions import split
from .formats import BY_PROTOCOL, FORMATS
from .payload import cut_of, tag_in
from .template import IPV4_HEADER, IPV6_HEADER, ipv4_payload

_ERROR_HEADER = 8
_TRANSPORT_QUOTED = 8  # bytes that RFC 792 guarantees beyond the quoted IP header

# ICMP types (RFC 792) and ICMPv6 types (RFC 4443) that quote a packet.
_ERRORS = {
    Family.IPV4: {
        3: AnswerKind.UNREACHABLE,
        11: AnswerKind.TIME_EXCEEDED,
        12: AnswerKind.PARAMETER,
    },
    Family.IPV6: {
        1: AnswerKind.UNREACHABLE,
        2: AnswerKind.TOO_BIG,
        3: AnswerKind.TIME_EXCEEDED,
        4: AnswerKind.PARAMETER,
    },
}
# The fields of a quoted IPv4 header that are used: version and header length, identification,
# fragment offset, TTL, protocol, source, target.
_QUOTED = struct.Struct("!Bx2xHHBB2x4s4s")
_ECHO = struct.Struct("!4xHH")
_OFFSET = 0x1FFF  # in units of 8 bytes, below three flags
_REASSEMBLY = 1  # the code of time-exceeded that does not concern the TTL


class _Header(NamedTuple):
    """A quoted packet's IP header, with any options or extension headers."""

    protocol: int
    start: int
    """Offset of the payload."""
    source: bytes
    target: bytes
    ttl: int
    ip_id: int | None = None
    named_at: int | None = None
    """IPv6: offset of the last next-header field."""


def decode(
    family: Family, packet_type: PacketType, data: bytes, responder: bytes = b""
) -> Heard | Unheard:
    """Reads a packet from the raw socket for direct answers to probes of a type, or of ICMP.

    `data` starts with the IP header in IPv4. In IPv6 it does not (raw(7), RFC 3542), and
    `responder` is the sender's address.
    """
    form = FORMATS[packet_type]
    if form.tap is None:
        return decode_icmp(data) if family is Family.IPV4 else decode_icmp6(data, responder)
    if family is Family.IPV6:
        return form.tap.decode(data, responder)
    start = ipv4_payload(data, form.protocols[family])
    return Unheard.MALFORMED if start is None else form.tap.decode(data[start:], data[12:16])


def decode_icmp(packet: bytes) -> Heard | Unheard:
    """Reads an IPv4 packet from a raw ICMP socket, IP header included."""
    start = ipv4_payload(packet, icmp.PROTOCOL)
    if start is None or len(packet) < start + _ERROR_HEADER:
        return Unheard.MALFORMED
    message = packet[start:]
    # Raw sockets receive packets before the kernel verifies the checksum.
    return _icmp(message, packet[12:16], Family.IPV4, intact=not ones_sum(message))


def decode_icmp6(message: bytes, responder: bytes) -> Heard | Unheard:
    """Reads an ICMPv6 message without its IP header.

    The checksum covers the destination address. For an error, that is the quoted source, unless it
    was translated. The checksum of an echo reply is not verified: its tag is.
    """
    if len(message) < _ERROR_HEADER:
        return Unheard.MALFORMED
    intact = True
    if message[0] in _ERRORS[Family.IPV6] and len(message) >= _ERROR_HEADER + IPV6_HEADER:
        pseudo = pseudo_header(
            responder, message[16:32], protocol=icmp.PROTOCOL_V6, length=len(message)
        )
        intact = not (ones_sum(pseudo) + ones_sum(message)) % MODULUS
    return _icmp(message, responder, Family.IPV6, intact=intact)


def _icmp(message: bytes, responder: bytes, family: Family, *, intact: bool) -> Heard | Unheard:
    kind, code = message[0], message[1]
    error = _ERRORS[family].get(kind)
    if kind == icmp.REPLY[family]:
        heard: Heard | Unheard = _echo_reply(message, responder)
    elif error is None or (error is AnswerKind.TIME_EXCEEDED and code == _REASSEMBLY):
        heard = Unheard.NOT_OURS
    else:
        heard = _error(error, code, responder, family=family, message=message)
    # Translators that change a quote may leave the checksum wrong: then the probe's keyed fields
    # decide, in the engine.
    if intact:
        return heard
    return heard._replace(intact=False) if isinstance(heard, Heard) else Unheard.MALFORMED


def _echo_reply(message: bytes, responder: bytes) -> Heard:
    identifier, sequence = _ECHO.unpack_from(message)
    key = FlowKey(PacketType.ICMP, responder, identifier, 0)
    payload = message[_ERROR_HEADER:]
    return Heard(
        AnswerKind.ECHO_REPLY, responder, key, sequence, tag=tag_in(payload), cut=cut_of(payload)
    )


def _error(
    kind: AnswerKind, code: int, responder: bytes, *, family: Family, message: bytes
) -> Heard | Unheard:
    quote, labels = split(message, family=family)
    header = _ipv4(quote) if family is Family.IPV4 else _ipv6(quote)
    if isinstance(header, Unheard):
        return header
    protocol, start, source, target, ttl, ip_id, named_at = header
    if len(quote) < start + _TRANSPORT_QUOTED:
        return Unheard.MALFORMED
    probe = BY_PROTOCOL.get((family, protocol))
    identity = probe.quoted(quote[start:], family) if probe is not None else None
    if probe is None or identity is None:
        return Unheard.NOT_OURS
    if family is Family.IPV6:
        info = int.from_bytes(message[4:8], "big")
        if kind is AnswerKind.PARAMETER and info == named_at:
            info = NEXT_HEADER_AT  # as without the inserted headers
    elif kind is AnswerKind.PARAMETER:
        info = message[4]  # a pointer (RFC 792)
    else:
        info = int.from_bytes(message[6:8], "big")  # the next hop's MTU (RFC 1191)
    identifier, port, number, tag, cut = identity
    key = FlowKey(probe.packet_type, target, identifier, port)
    changed = annotate(quote, family=family, expired=kind is AnswerKind.TIME_EXCEEDED)
    return Heard(
        kind, responder, key, number, ip_id, tag, source, code, info, ttl, changed + labels, cut
    )


def _ipv4(quote: bytes) -> _Header | Unheard:
    if len(quote) < IPV4_HEADER:
        return Unheard.MALFORMED
    version, ip_id, fragment, ttl, protocol, source, target = _QUOTED.unpack_from(quote)
    start = (version & 0x0F) * 4  # options may have been inserted on the way
    if version >> 4 != 4 or start < IPV4_HEADER or len(quote) < start + _TRANSPORT_QUOTED:
        return Unheard.MALFORMED
    if _is_later_fragment(fragment):
        return Unheard.NOT_OURS
    return _Header(protocol, start, source, target, ttl, ip_id)


def _ipv6(quote: bytes) -> _Header | Unheard:
    if len(quote) < IPV6_HEADER or quote[0] >> 4 != 6:
        return Unheard.MALFORMED
    upper = upper_of(quote)
    if upper is None:
        return Unheard.NOT_OURS
    protocol, start, named_at = upper
    ttl = quoted_ttl(quote, Family.IPV6)
    return _Header(protocol, start, quote[8:24], quote[24:40], ttl, named_at=named_at)


def _is_later_fragment(field: int) -> bool:
    """Whether flags and fragment offset belong to a fragment other than the first.

    Some hosts quote the field with swapped bytes, and may have set its flags.
    """
    swapped = (field & 0xFF) << 8 | field >> 8
    return bool(field & _OFFSET and swapped & _OFFSET)
