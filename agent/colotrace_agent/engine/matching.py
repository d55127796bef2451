"""Which probe of its flow an answer is for: only what verifies under the secret counts.

An answer that carries the payload's tag is judged by the tag alone. A shorter quote is taken
where what it shows is long enough to be no guess: TCP's 32-bit number; the number of an ICMP or
UDP probe together with its IPv4 identification, which routers also quote with its bytes swapped or
off by one. All else is somebody else's, or cannot be told.
"""

import enum

from colotrace_proto.messages import PacketType

from colotrace_agent.model import AnswerKind, Flow, Heard

_NUMBERS = {
    PacketType.ICMP: 1 << 16,
    PacketType.UDP: 0xFFFE,
    PacketType.TCP: 1 << 32,
    PacketType.GRE: 1 << 16,
}


TCP_SPACING = 56
"""Between the sequence numbers of a flow's consecutive probes.

Stacks acknowledge a SYN by its own number, by the next one, or by the next beyond what they take
for its data: options, padding, a header. None of these may be a neighbour's number or the one
after it, so no length of a header or packet of ours lies near a multiple. All numbers of a trace
stay within the window of a common listener (64,240), which challenges a SYN beyond it.
"""
_ACKNOWLEDGED = 2
"""Acknowledgements that name a SYN: its own number and the next."""


class Miss(enum.Enum):
    """Why an answer to the flow is for none of its probes."""

    FOREIGN = "what it shows belongs to no probe"
    AMBIGUOUS = "it does not show enough to tell the probe"


def number_of(flow: Flow, ordinal: int) -> int:
    """The probe's own number: what ICMP and TCP carry as sequence, UDP as checksum.

    UDP's runs from 1 to 0xfffe: 0 on the wire means that there is no checksum (RFC 768), and
    0xffff is what a computed 0 is sent as.
    """
    if flow.packet_type is PacketType.UDP:
        return (flow.first_number - 1 + ordinal) % 0xFFFE + 1
    step = TCP_SPACING if flow.packet_type is PacketType.TCP else 1
    return (flow.first_number + ordinal * step) % _NUMBERS[flow.packet_type]


def match(flow: Flow, heard: Heard, *, sent: int) -> int | Miss:
    """Which of the flow's first `sent` probes the answer is for."""
    if heard.tag is not None:
        ordinal = flow.marks.find(heard.tag)
        return ordinal if ordinal is not None and ordinal < sent else Miss.FOREIGN
    if flow.packet_type is PacketType.TCP:
        if heard.number is None:
            return Miss.AMBIGUOUS
        return _by_tcp_number(flow, heard, heard.number, sent)
    if not heard.ip_id:  # IPv6, a direct answer without the tag, or a router that cleared it
        return Miss.AMBIGUOUS
    if flow.packet_type is PacketType.GRE:
        if heard.key.packet_type is not PacketType.GRE:
            return Miss.AMBIGUOUS  # of what was inside, which has another identification
        # The key is all that a short quote has beside; see docs/identity.md.
        ids = flow.marks.ip_ids[:sent]
        return ids.index(heard.ip_id) if heard.ip_id in ids else Miss.FOREIGN
    if heard.number is None:
        return Miss.AMBIGUOUS
    ordinal = _by_number(flow, _untranslated(flow, heard), sent)
    if ordinal is None or flow.marks.ip_ids[ordinal] not in _as_sent(heard.ip_id):
        return Miss.FOREIGN
    return ordinal


def _by_tcp_number(flow: Flow, heard: Heard, number: int, sent: int) -> int | Miss:
    offset = (number - flow.first_number) % _NUMBERS[PacketType.TCP]
    ordinal, beyond = divmod(offset, TCP_SPACING)
    acknowledges = heard.kind is AnswerKind.TCP
    if ordinal < sent and beyond < (_ACKNOWLEDGED if acknowledges else 1):
        return ordinal
    return Miss.FOREIGN


def _by_number(flow: Flow, number: int, sent: int) -> int | None:
    offset = (number - flow.first_number) % _NUMBERS[flow.packet_type]
    # One number that is no probe's, 0xffff for UDP, has the remainder of another that is.
    return offset if offset < sent and number_of(flow, offset) == number else None


def _untranslated(flow: Flow, heard: Heard) -> int:
    """The number before an address translator put the quoted source for ours: only UDP's, a
    checksum, changes with it (RFC 1624)."""
    number = heard.number or 0
    if flow.packet_type is not PacketType.UDP or heard.source in (None, flow.source):
        return number
    change = int.from_bytes(heard.source or b"", "big") - int.from_bytes(flow.source, "big")
    return (number + change) % 0xFFFF or 0xFFFF


def _as_sent(ip_id: int) -> tuple[int, ...]:
    """What was sent where routers quote that: the same, with its bytes swapped, or off by one."""
    return ip_id, (ip_id & 0xFF) << 8 | ip_id >> 8, ip_id - 1, ip_id + 1
