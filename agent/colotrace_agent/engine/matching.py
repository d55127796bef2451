"""Which probe of its flow an answer is for: only what verifies under the secret counts.

An answer that carries the payload's tag is judged by the tag alone. One that shows less is taken
where what it shows is long enough to be no guess: the number together with what is left of the
payload; TCP's 32-bit number; the number of an ICMP or UDP probe together with its IPv4
identification, which routers also quote with its bytes swapped or off by one. All else is somebody
else's, or cannot be told. `docs/identity.md` counts the bits.
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

STEERING_BYTES = 2
"""In front of the tag: what makes the checksum come out as wanted."""
_LEAST_KEYED_BYTES = 2
"""Of the payload that an answer must show beside the number, where it does not show the tag."""
_MODULUS = 0xFFFF


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


def echo_steering(flow: Flow, ordinal: int) -> int:
    """The steering of an echo request, alone or within GRE, 0 to 0xfffe: it takes up what sequence
    and tag change in the checksum. It is keyed, since the tag is."""
    tag = int.from_bytes(flow.marks.tag(ordinal), "big")
    return (flow.first_number - number_of(flow, ordinal) - tag) % _MODULUS


def match(flow: Flow, heard: Heard, *, sent: int) -> int | Miss:
    """Which of the flow's first `sent` probes the answer is for."""
    if heard.tag is not None:
        ordinal = flow.marks.find(heard.tag)
        if ordinal is not None:
            return ordinal if ordinal < sent else Miss.FOREIGN
    if heard.cut:
        ordinal = _by_cut_payload(flow, heard, sent)
        if ordinal is not None:
            return ordinal
    if heard.tag is not None:
        return Miss.FOREIGN
    if flow.packet_type is PacketType.TCP:
        return Miss.AMBIGUOUS if heard.number is None else _by_tcp_number(flow, heard, sent)
    if not heard.ip_id:  # IPv6, a direct answer without the tag, or a router that cleared it
        return Miss.AMBIGUOUS
    if flow.packet_type is PacketType.GRE:
        return _by_ip_id(flow, heard, heard.ip_id, sent)
    if heard.number is None:
        return Miss.AMBIGUOUS
    for number in _readings(flow, heard, heard.number):
        ordinal = _by_number(flow, number, sent)
        if ordinal is not None and flow.marks.ip_ids[ordinal] in _as_sent(heard.ip_id):
            return ordinal
    return Miss.FOREIGN


def _by_cut_payload(flow: Flow, heard: Heard, sent: int) -> int | None:
    """The probe that the number names, if what is left of its payload is right.

    Of UDP, the steering depends on what a translator changes, and is not looked at.
    """
    if heard.number is None or flow.packet_type is PacketType.TCP:
        return None
    unkeyed = STEERING_BYTES if flow.packet_type is PacketType.UDP else 0
    shown = heard.cut[unkeyed:]
    if len(shown) < _LEAST_KEYED_BYTES:
        return None
    for number in _readings(flow, heard, heard.number):
        ordinal = _by_number(flow, number, sent)
        if ordinal is None:
            continue
        payload = flow.marks.tag(ordinal)
        if not unkeyed:
            payload = echo_steering(flow, ordinal).to_bytes(STEERING_BYTES, "big") + payload
        if payload.startswith(shown):
            return ordinal
    return None


def _by_tcp_number(flow: Flow, heard: Heard, sent: int) -> int | Miss:
    offset = ((heard.number or 0) - flow.first_number) % _NUMBERS[PacketType.TCP]
    ordinal, beyond = divmod(offset, TCP_SPACING)
    acknowledges = heard.kind is AnswerKind.TCP
    if ordinal < sent and beyond < (_ACKNOWLEDGED if acknowledges else 1):
        return ordinal
    return Miss.FOREIGN


def _by_ip_id(flow: Flow, heard: Heard, ip_id: int, sent: int) -> int | Miss:
    """A GRE probe: the key is all that a short quote has beside; see docs/identity.md."""
    if heard.key.packet_type is not PacketType.GRE:
        return Miss.AMBIGUOUS  # of what was inside, which has another identification
    if heard.key.identifier != flow.identifier or not heard.intact:
        return Miss.AMBIGUOUS  # the identification is all that is left, or may be damaged
    ids = flow.marks.ip_ids[:sent]
    return ids.index(ip_id) if ip_id in ids else Miss.FOREIGN


def _by_number(flow: Flow, number: int, sent: int) -> int | None:
    offset = (number - flow.first_number) % _NUMBERS[flow.packet_type]
    # One number that is no probe's, 0xffff for UDP, has the remainder of another that is.
    return offset if offset < sent and number_of(flow, offset) == number else None


def _readings(flow: Flow, heard: Heard, number: int) -> tuple[int, ...]:
    """What the number may have been when it left.

    UDP's, a checksum, changes with the addresses and ports that a translator changes (RFC 1624),
    unless the translator leaves it as it was.
    """
    if flow.packet_type is not PacketType.UDP or heard.source is None:
        return (number,)
    if heard.source == flow.source and heard.key == flow.key:
        return (number,)
    key = heard.key
    quoted = _word_sum(heard.source) + _word_sum(key.target) + key.identifier + key.port
    left = _word_sum(flow.source) + _word_sum(flow.target) + flow.identifier + flow.port
    return (number + quoted - left) % _MODULUS or _MODULUS, number


def _word_sum(address: bytes) -> int:
    """The ones' complement sum of the 16-bit words: 2^16 leaves remainder 1."""
    return int.from_bytes(address, "big") % _MODULUS


def _as_sent(ip_id: int) -> tuple[int, ...]:
    """What was sent where routers quote that: the same, with its bytes swapped, or off by one."""
    return ip_id, (ip_id & 0xFF) << 8 | ip_id >> 8, ip_id - 1, ip_id + 1
