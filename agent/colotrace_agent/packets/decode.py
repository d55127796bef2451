"""Reads ICMP messages: echo replies, and errors that quote a probe of any type.

Every length is checked before it is used. Every quoted field is a claim: `engine.matching` decides
whether the message answers a probe.
"""

import struct

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import AnswerKind, FlowKey, Heard, Unheard

from . import icmp
from .annotations import annotate, quoted_ttl
from .chain import NEXT_HEADER_AT, upper_of
from .checksum import MODULUS, ones_sum, pseudo_header
from .extensions import split
from .formats import FORMATS
from .payload import cut_of, tag_in
from .template import IPV4_HEADER, IPV6_HEADER, ipv4_payload

_ECHO_REPLY, _ECHO_REPLY_V6 = icmp.REPLY[Family.IPV4], icmp.REPLY[Family.IPV6]
_ERROR_HEADER = 8
_TRANSPORT_QUOTED = 8  # bytes that RFC 792 guarantees beyond the quoted IP header

# ICMP types (RFC 792) and ICMPv6 types (RFC 4443) that quote a packet.
_ERRORS = {3: AnswerKind.UNREACHABLE, 11: AnswerKind.TIME_EXCEEDED, 12: AnswerKind.PARAMETER}
_ERRORS_V6 = {
    1: AnswerKind.UNREACHABLE,
    2: AnswerKind.TOO_BIG,
    3: AnswerKind.TIME_EXCEEDED,
    4: AnswerKind.PARAMETER,
}
# The fields of a quoted IPv4 header that are used: version and header length, traffic class, (IPv4)
# identification, fragment offset, TTL, protocol, source, target.
_QUOTED = struct.Struct("!BB2xHHBB2x4s4s")
_ECHO = struct.Struct("!4xHH")
_PARAMETER_PROBLEM = 12
_OFFSET = 0x1FFF  # in units of 8 bytes, below three flags
_REASSEMBLY = 1  # the code of time-exceeded that does not concern the TTL

_BY_PROTOCOL = {each.protocols[Family.IPV4]: each for each in FORMATS.values()}
_BY_PROTOCOL_V6 = {each.protocols[Family.IPV6]: each for each in FORMATS.values()}


def decode_icmp(packet: bytes) -> Heard | Unheard:
    """Reads an IPv4 packet from a raw ICMP socket, IP header included."""
    start = ipv4_payload(packet, icmp.PROTOCOL)
    if start is None or len(packet) < start + _ERROR_HEADER:
        return Unheard.MALFORMED
    message = packet[start:]
    heard = _icmp(message, packet[12:16])
    # Raw sockets receive packets before the kernel verifies the checksum. Translators that change
    # a quote may leave it wrong: then the probe's keyed fields decide, in the engine.
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
    """Reads an ICMPv6 message without its IP header.

    The checksum covers the destination address. For an error, that is the quoted source, unless it
    was translated. The checksum of an echo reply is not verified: its tag is.
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


def _error(
    kind: AnswerKind, code: int, responder: bytes, *, info: int, message: bytes
) -> Heard | Unheard:
    if kind is AnswerKind.TIME_EXCEEDED and code == _REASSEMBLY:
        return Unheard.NOT_OURS
    quote, labels = split(message, family=Family.IPV4)
    if len(quote) < IPV4_HEADER:
        return Unheard.MALFORMED
    version, _, ip_id, fragment, ttl, protocol, source, target = _QUOTED.unpack_from(quote)
    start = (version & 0x0F) * 4  # options may have been inserted on the way
    if version >> 4 != 4 or start < IPV4_HEADER or len(quote) < start + _TRANSPORT_QUOTED:
        return Unheard.MALFORMED
    probe = _BY_PROTOCOL.get(protocol)
    if probe is None or _is_later_fragment(fragment):
        return Unheard.NOT_OURS
    identity = probe.quoted(quote[start:], Family.IPV4)
    if identity is None:
        return Unheard.NOT_OURS
    identifier, port, number, tag, cut = identity
    key = FlowKey(probe.packet_type, target, identifier, port)
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
        info = NEXT_HEADER_AT  # as without the inserted headers
    probe = _BY_PROTOCOL_V6.get(protocol)
    if probe is None:
        return Unheard.NOT_OURS
    identity = probe.quoted(quote[start:], Family.IPV6)
    if identity is None:
        return Unheard.NOT_OURS
    identifier, port, number, tag, cut = identity
    key = FlowKey(probe.packet_type, quote[24:40], identifier, port)
    ttl = quoted_ttl(quote, Family.IPV6)
    changed = annotate(quote, family=Family.IPV6, expired=kind is AnswerKind.TIME_EXCEEDED)
    return Heard(
        kind, responder, key, number, None, tag, quote[8:24], code, info, ttl, changed + labels, cut
    )


def _is_later_fragment(field: int) -> bool:
    """Whether flags and fragment offset belong to a fragment other than the first.

    Some hosts quote the field with swapped bytes, and may have set its flags.
    """
    swapped = (field & 0xFF) << 8 | field >> 8
    return bool(field & _OFFSET and swapped & _OFFSET)
