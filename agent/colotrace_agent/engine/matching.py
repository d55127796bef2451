"""Finds the probe of a flow that an answer belongs to, by fields that are keyed with the secret.

If the answer carries the payload's whole tag, only the tag decides. A tag that ends in 0 may have
been cut and padded, so it is also tried as a cut payload. Without the tag, the answer must show
more bits than can be guessed: the number and a part of the payload; TCP's 32-bit number; the number
of an ICMP or UDP probe and its IPv4 identification, which some routers quote with swapped bytes or
off by one; GRE's key and the IPv4 identification exactly as sent. Every other answer is foreign or
ambiguous. `docs/identity.md` counts the bits.
"""

import enum

from colotrace_agent.model import AnswerKind, Flow, Heard, Ordinal
from colotrace_agent.packets.formats import FORMATS, number_of
from colotrace_agent.packets.payload import TAG_AT

_ACKNOWLEDGED = 2
"""A reply to a SYN may acknowledge the SYN's own number or the next one."""

_LEAST_KEYED_BYTES = 2
"""Bytes of the payload that an answer without the whole tag must show beside the number."""
_ONES_COMPLEMENT = 0xFFFF
"""Ones' complement sums are taken modulo this."""


class Miss(enum.Enum):
    """Why an answer to the flow matches none of its probes."""

    FOREIGN = "what it shows belongs to no probe"
    AMBIGUOUS = "it does not show enough to tell the probe"


def match(flow: Flow, heard: Heard, *, sent: int) -> Ordinal | Miss:
    """The ordinal of the probe that the answer belongs to, among the first `sent` of the flow."""
    if heard.tag is not None:
        ordinal = flow.marks.find(heard.tag)
        if ordinal is not None:
            return Ordinal(ordinal) if ordinal < sent else Miss.FOREIGN
    if heard.cut:
        ordinal = _by_cut_payload(flow, heard, sent)
        if ordinal is not None:
            return ordinal
    if heard.tag is not None:
        return Miss.FOREIGN
    kind = FORMATS[flow.packet_type]
    if kind.number_suffices:
        return Miss.AMBIGUOUS if heard.number is None else _by_number_alone(flow, heard, sent)
    if not heard.ip_id:  # IPv6, a direct answer without the tag, or a router that cleared it
        return Miss.AMBIGUOUS
    if not kind.number_quoted:
        return _by_ip_id(flow, heard, heard.ip_id, sent)
    if heard.number is None:
        return Miss.AMBIGUOUS
    for number in _readings(flow, heard, heard.number):
        ordinal = _by_number(flow, number, sent)
        if ordinal is not None and flow.marks.ip_ids[ordinal] in _as_sent(heard.ip_id):
            return ordinal
    return Miss.FOREIGN


def _by_cut_payload(flow: Flow, heard: Heard, sent: int) -> Ordinal | None:
    """The probe with that number, if the rest of its payload is right.

    Steering is not compared for types where a translator may change the fields it depends on:
    `kind.steering` is None.
    """
    kind = FORMATS[flow.packet_type]
    if heard.number is None or kind.number_suffices:
        return None
    shown = heard.cut if kind.steering else heard.cut[TAG_AT:]
    if len(shown) < _LEAST_KEYED_BYTES:
        return None
    for number in _readings(flow, heard, heard.number):
        ordinal = _by_number(flow, number, sent)
        if ordinal is None:
            continue
        payload = flow.marks.tag(ordinal)
        if kind.steering:
            payload = kind.steering(flow, ordinal).to_bytes(TAG_AT, "big") + payload
        if payload.startswith(shown):
            return ordinal
    return None


def _by_number_alone(flow: Flow, heard: Heard, sent: int) -> Ordinal | Miss:
    modulus, _, step = FORMATS[flow.packet_type].numbering
    ordinal, beyond = divmod(((heard.number or 0) - flow.first_number) % modulus, step)
    acknowledges = heard.kind is AnswerKind.TCP
    if ordinal < sent and beyond < (_ACKNOWLEDGED if acknowledges else 1):
        return Ordinal(ordinal)
    return Miss.FOREIGN


def _by_ip_id(flow: Flow, heard: Heard, ip_id: int, sent: int) -> Ordinal | Miss:
    """The probe with that identification. For GRE, a short quote shows only the key and the
    identification; see docs/identity.md."""
    if heard.key.packet_type is not flow.packet_type:
        return Miss.AMBIGUOUS  # it quotes the inner packet, which has another identification
    if heard.key.identifier != flow.identifier or not heard.intact:
        return Miss.AMBIGUOUS  # the key is not the flow's, or the checksum is wrong
    ids = flow.marks.ip_ids[:sent]
    return Ordinal(ids.index(ip_id)) if ip_id in ids else Miss.FOREIGN


def _by_number(flow: Flow, number: int, sent: int) -> Ordinal | None:
    offset = (number - flow.first_number) % FORMATS[flow.packet_type].numbering.modulus
    # A number out of range, 0xffff for UDP, is congruent to one in range.
    return Ordinal(offset) if offset < sent and number_of(flow, offset) == number else None


def _readings(flow: Flow, heard: Heard, number: int) -> tuple[int, ...]:
    """Values that the number may have had when the probe was sent.

    A checksum changes together with the addresses and ports that a translator changes (RFC 1624),
    unless the translator ignores it.
    """
    if heard.source is None or not FORMATS[flow.packet_type].number_is_checksum:
        return (number,)
    if heard.source == flow.source and heard.key == flow.key:
        return (number,)
    key = heard.key
    quoted = _word_sum(heard.source) + _word_sum(key.target) + key.identifier + key.port
    as_sent = _word_sum(flow.source) + _word_sum(flow.target) + flow.identifier + flow.port
    return (number + quoted - as_sent) % _ONES_COMPLEMENT or _ONES_COMPLEMENT, number


def _word_sum(address: bytes) -> int:
    """The ones' complement sum of the 16-bit words. It equals the number modulo 0xFFFF, since
    2^16 mod 0xFFFF is 1."""
    return int.from_bytes(address, "big") % _ONES_COMPLEMENT


def _as_sent(ip_id: int) -> tuple[int, ...]:
    """Identifications that routers quote in this way: as sent, with swapped bytes, off by one."""
    return ip_id, (ip_id & 0xFF) << 8 | ip_id >> 8, ip_id - 1, ip_id + 1
