"""What comes off the wire, right, cut, mutated and made up."""

import pytest
from colotrace_agent.model import AnswerKind, Flow, Heard, Unheard
from colotrace_agent.packets.decode import decode, decode_icmp, decode_icmp6
from colotrace_agent.packets.formats import number_of, writer_for
from colotrace_agent.packets.tcp import decode_tcp_segment
from colotrace_agent.packets.udp import decode_udp_datagram
from colotrace_proto.messages import Family, PacketType
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet, Raw
from unit.agent.made import flow

US, TARGET, ROUTER = "192.0.2.1", "203.0.113.9", "198.18.1.1"
US6, TARGET6, ROUTER6 = "2001:db8::1", "2001:db8:ffff::9", "2001:db8:1::1"
_PACKED = {
    US: bytes([192, 0, 2, 1]),
    TARGET: bytes([203, 0, 113, 9]),
    ROUTER: bytes([198, 18, 1, 1]),
    US6: bytes(IPv6(src=US6))[8:24],
    TARGET6: bytes(IPv6(src=TARGET6))[8:24],
    ROUTER6: bytes(IPv6(src=ROUTER6))[8:24],
}
TYPES = [PacketType.ICMP, PacketType.TCP, PacketType.UDP]  # GRE has tests of its own
SIX = _PACKED[ROUTER6]
TIME_EXCEEDED = {"type": 11}


def flow_of(packet_type: PacketType, *, six: bool = False) -> Flow:
    """A flow with numbers of its own."""
    source, target = (US6, TARGET6) if six else (US, TARGET)
    return flow(packet_type, source=_PACKED[source], target=_PACKED[target])


def quote_of(flow: Flow, ordinal: int = 7, *, beyond: int | None = None) -> bytes:
    """The probe as a router quotes it: whole, or so many bytes beyond the IP header."""
    packet = bytes(writer_for(flow).write(ordinal, 1))
    start = 20 if packet[0] >> 4 == 4 else 40
    return packet if beyond is None else packet[: start + beyond]


def tag_of(flow: Flow, beyond: int | None) -> bytes | None:
    """What a quote of that length shows of the tag."""
    if flow.packet_type is PacketType.TCP or beyond == 8:
        return None
    return flow.marks.tag(7)


def icmp(quote: bytes, **fields: int) -> bytes:
    """A router's error, checksums right."""
    return bytes(IP(src=ROUTER, dst=US) / ICMP(**(fields or TIME_EXCEEDED)) / Raw(quote))


def icmp6(message: Packet) -> bytes:
    """An ICMPv6 message as a raw socket gives it: without its IP header."""
    return bytes(IPv6(src=ROUTER6, dst=US6) / message)[40:]


@pytest.mark.parametrize("beyond", [8, 28, None])
@pytest.mark.parametrize("packet_type", TYPES)
def test_quote_identifies_the_probe(packet_type: PacketType, beyond: int | None) -> None:
    """However long it is, from 8 bytes on."""
    flow = flow_of(packet_type)
    heard = decode_icmp(icmp(quote_of(flow, beyond=beyond)))
    assert heard == Heard(
        kind=AnswerKind.TIME_EXCEEDED,
        responder=_PACKED[ROUTER],
        key=flow.key,
        number=number_of(flow, 7),
        ip_id=flow.marks.ip_ids[7],
        tag=tag_of(flow, beyond),
        source=flow.source,
        quoted_ttl=1,
    )


@pytest.mark.parametrize("beyond", [8, 28, None])
@pytest.mark.parametrize("packet_type", TYPES)
def test_ipv6_quote_identifies_the_probe(packet_type: PacketType, beyond: int | None) -> None:
    """There is no IP ID."""
    flow = flow_of(packet_type, six=True)
    message = ICMPv6TimeExceeded() / Raw(quote_of(flow, beyond=beyond))
    heard = decode_icmp6(icmp6(message), SIX)
    assert heard == Heard(
        kind=AnswerKind.TIME_EXCEEDED,
        responder=SIX,
        key=flow.key,
        number=number_of(flow, 7),
        tag=tag_of(flow, beyond),
        source=flow.source,
        quoted_ttl=1,
    )


@pytest.mark.parametrize("packet_type", TYPES)
def test_options_of_both_ip_headers_are_skipped(packet_type: PacketType) -> None:
    """Neither header need have 20 bytes."""
    flow = flow_of(packet_type)
    quote = quote_of(flow)
    grown = bytes([0x46]) + quote[1:20] + bytes.fromhex("94040000") + quote[20:]
    outer = IP(src=ROUTER, dst=US, options=[IPOption_Router_Alert()])
    heard = decode_icmp(bytes(outer / ICMP(**TIME_EXCEEDED) / Raw(grown)))
    assert isinstance(heard, Heard)
    assert (heard.key, heard.number) == (flow.key, number_of(flow, 7))


@given(st.sampled_from(TYPES), st.integers(0, 10), st.binary(min_size=40, max_size=40))
def test_any_options_in_the_quote_are_skipped(
    packet_type: PacketType, words: int, options: bytes
) -> None:
    """Up to the 40 bytes that a header has room for."""
    flow = flow_of(packet_type)
    quote = quote_of(flow)
    grown = bytes([0x45 + words]) + quote[1:20] + options[: 4 * words] + quote[20:]
    heard = decode_icmp(icmp(grown))
    assert isinstance(heard, Heard)
    assert (heard.key, heard.number) == (flow.key, number_of(flow, 7))
    assert heard.tag == tag_of(flow, None)
    assert heard.intact


@pytest.mark.parametrize("headers", [[0], [60], [43], [0, 60, 43]])
@pytest.mark.parametrize("packet_type", TYPES)
def test_extension_headers_in_the_quote_are_skipped(
    packet_type: PacketType, headers: list[int]
) -> None:
    """A router on the way may have inserted them."""
    flow = flow_of(packet_type, six=True)
    quote = bytearray(quote_of(flow))
    chain = [*headers, quote[6]]
    quote[6] = chain[0]
    extensions = b"".join(bytes([following, 0]) + bytes(6) for following in chain[1:])
    message = ICMPv6TimeExceeded() / Raw(bytes(quote[:40]) + extensions + bytes(quote[40:48]))
    heard = decode_icmp6(icmp6(message), SIX)
    assert isinstance(heard, Heard)
    assert (heard.key, heard.number) == (flow.key, number_of(flow, 7))


def test_answer_of_the_target_identifies_the_probe() -> None:
    """By what it echoes or acknowledges."""
    flow = flow_of(PacketType.ICMP)
    reply = IP(src=TARGET, dst=US) / ICMP(type=0, id=20_001, seq=4_007) / Raw(b"x")
    heard = Heard(AnswerKind.ECHO_REPLY, flow.target, flow.key, 4_007)
    assert decode_icmp(bytes(reply)) == heard._replace(cut=b"x")
    flow = flow_of(PacketType.ICMP, six=True)
    message = ICMPv6EchoReply(id=20_001, seq=4_007)
    assert decode_icmp6(icmp6(message), flow.target) == heard._replace(
        key=flow.key, responder=flow.target
    )


@pytest.mark.parametrize(
    ("flags", "acknowledged", "number"),
    [
        ("SA", 4_008, 4_008),
        ("RA", 4_008, 4_008),
        ("R", 4_008, 4_008),
        ("SA", 0, 0),
        ("R", 0, None),
    ],
)
def test_segment_identifies_the_probe_it_acknowledges(
    flags: str, acknowledged: int, number: int | None
) -> None:
    """A bare reset acknowledges nothing."""
    flow = flow_of(PacketType.TCP)
    segment = TCP(sport=33_434, dport=20_001, flags=flags, ack=acknowledged)
    packet = bytes(IP(src=TARGET, dst=US) / segment)
    heard = Heard(AnswerKind.TCP, flow.target, flow.key, number)
    assert decode(Family.IPV4, PacketType.TCP, packet) == heard
    assert decode_tcp_segment(packet[20:], flow.target) == heard


def test_bare_ack_identifies_no_probe() -> None:
    """It challenges a SYN: the target is up, but its number is not ours."""
    packet = IP(src=TARGET, dst=US) / TCP(sport=33_434, dport=20_001, flags="A", ack=4_008)
    heard = decode(Family.IPV4, PacketType.TCP, bytes(packet))
    assert isinstance(heard, Heard)
    assert (heard.kind, heard.number) == (AnswerKind.CHALLENGE, None)


@pytest.mark.parametrize("flags", ["S", "FA", "PA", ""])
def test_other_segments_are_no_answer(flags: str) -> None:
    """Data, or ends of other connections."""
    packet = IP(src=TARGET, dst=US) / TCP(sport=33_434, dport=20_001, flags=flags, ack=4_008)
    assert decode(Family.IPV4, PacketType.TCP, bytes(packet)) is Unheard.NOT_OURS


def test_datagram_identifies_the_flow_only() -> None:
    """It quotes nothing."""
    flow = flow_of(PacketType.UDP)
    packet = bytes(IP(src=TARGET, dst=US) / UDP(sport=33_434, dport=20_001) / Raw(b"hello"))
    heard = Heard(AnswerKind.DATAGRAM, flow.target, flow.key, None)
    assert decode(Family.IPV4, PacketType.UDP, packet) == heard
    assert decode_udp_datagram(packet[20:], flow.target) == heard


def test_mtu_is_read_by_family() -> None:
    """RFC 1191, RFC 4443."""
    four = decode_icmp(icmp(quote_of(flow_of(PacketType.UDP)), type=3, code=4, nexthopmtu=1_400))
    six = decode_icmp6(
        icmp6(ICMPv6PacketTooBig(mtu=70_000) / Raw(quote_of(flow_of(PacketType.UDP, six=True)))),
        SIX,
    )
    assert isinstance(four, Heard)
    assert isinstance(six, Heard)
    assert (four.kind, four.code, four.info) == (AnswerKind.UNREACHABLE, 4, 1_400)
    assert (six.kind, six.info) == (AnswerKind.TOO_BIG, 70_000)


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("beyond", [8, None])
@pytest.mark.parametrize("packet_type", TYPES)
def test_extensions_become_labels_and_no_identity(
    packet_type: PacketType, beyond: int | None, stated: bool
) -> None:
    """Nor does the padding before them. Annotations of changes come first."""
    extension = bytes.fromhex("20000000 00080101 05dcf101")
    for six in (False, True):
        flow = flow_of(packet_type, six=six)
        quote = bytearray(quote_of(flow, beyond=beyond))
        if six:
            quote[1], quote[7] = 0x80, 3
            rest = bytes(quote).ljust(128, b"\0") + extension
            length = 16 if stated else 0
            message = ICMPv6TimeExceeded(length=length) / Raw(rest)
            heard = decode_icmp6(icmp6(message), SIX)
        else:
            quote[1], quote[8] = 0x08, 3
            rest = bytes(quote).ljust(128, b"\0") + extension
            heard = decode_icmp(icmp(rest, type=11, length=32 if stated else 0))
        assert isinstance(heard, Heard)
        assert (heard.key, heard.number) == (flow.key, number_of(flow, 7))
        assert heard.tag == tag_of(flow, beyond)
        assert heard.labels == ("QTTL=3", "DSCP=2", "MPLS:L=24015,E=0,S=1,T=1")
        assert heard.quoted_ttl == 3


def test_cleared_udp_checksum_is_no_number() -> None:
    """0 means none, and our probes always have one."""
    quote = quote_of(flow_of(PacketType.UDP))
    heard = decode_icmp(icmp(quote[:26] + bytes(2) + quote[28:]))
    assert isinstance(heard, Heard)
    assert heard.number is None


def test_foreign_and_malformed_packets_are_told_apart() -> None:
    """They are counted separately."""
    quote, quote6 = (quote_of(flow_of(PacketType.UDP, six=six)) for six in (False, True))
    ours = [
        decode_icmp(bytes(IP(src=ROUTER, dst=US) / ICMP(type=8))),
        # Reassembly time exceeded, a later fragment, another protocol.
        decode_icmp(icmp(quote, type=11, code=1)),
        decode_icmp(icmp(quote[:6] + b"\x00\x10" + quote[8:])),
        decode_icmp(icmp(quote[:9] + b"\x2f" + quote[10:])),
        decode_icmp6(icmp6(ICMPv6ND_NS()), SIX),
        decode_icmp6(icmp6(ICMPv6TimeExceeded(code=1) / Raw(quote6)), SIX),
        decode_icmp6(icmp6(ICMPv6DestUnreach() / Raw(quote6[:6] + b"\x2f" + quote6[7:])), SIX),
    ]
    assert set(ours) == {Unheard.NOT_OURS}
    whole = icmp(quote)
    broken = [
        decode_icmp(b""),
        decode_icmp(whole[:54]),
        decode_icmp(b"\x4f" + whole[1:]),
        decode_icmp(icmp(quote[:27])),
        decode_icmp(icmp(b"\x44" + quote[1:])),
        decode_icmp(icmp(quote6)),
        decode_icmp6(icmp6(ICMPv6TimeExceeded() / Raw(quote6[:47])), SIX),
        decode_icmp6(icmp6(ICMPv6TimeExceeded() / Raw(quote)), SIX),
        decode_icmp6(b"\x03", SIX),
        decode_tcp_segment(bytes(19), SIX),
        decode_udp_datagram(bytes(7), SIX),
    ]
    assert set(broken) == {Unheard.MALFORMED}


DECODERS = [
    decode_icmp,
    lambda data: decode(Family.IPV4, PacketType.TCP, data),
    lambda data: decode(Family.IPV4, PacketType.UDP, data),
    lambda data: decode_icmp6(data, SIX),
    lambda data: decode_tcp_segment(data, SIX),
    lambda data: decode_udp_datagram(data, SIX),
]
ANSWERS = [
    *[icmp(quote_of(flow_of(kind))) for kind in TYPES],
    *[icmp(quote_of(flow_of(kind), beyond=8), type=3, code=3) for kind in TYPES],
    *[icmp6(ICMPv6TimeExceeded() / Raw(quote_of(flow_of(kind, six=True)))) for kind in TYPES],
    bytes(IP(src=TARGET, dst=US) / ICMP(type=0, id=20_001, seq=4_007)),
    bytes(IP(src=TARGET, dst=US) / TCP(sport=33_434, dport=20_001, flags="SA", ack=4_008)),
    bytes(IP(src=TARGET, dst=US) / UDP(sport=33_434, dport=20_001) / Raw(b"hello")),
]


@given(st.binary(max_size=200))
def test_any_bytes_decode_without_an_error(data: bytes) -> None:
    """From the network, so nothing may raise."""
    for read in DECODERS:
        assert isinstance(read(data), Heard | Unheard)


@given(st.sampled_from(ANSWERS), st.integers(0, 300))
def test_cut_answer_decodes_without_an_error(answer: bytes, keep: int) -> None:
    """At any place."""
    for read in DECODERS:
        assert isinstance(read(answer[:keep]), Heard | Unheard)


@given(st.sampled_from(ANSWERS), st.lists(st.tuples(st.integers(0, 199), st.integers(1, 255))))
def test_mutated_answer_decodes_without_an_error(
    answer: bytes, changes: list[tuple[int, int]]
) -> None:
    """Some mutants have wrong lengths in their headers."""
    mutant = bytearray(answer)
    for at, change in changes:
        mutant[at % len(mutant)] ^= change
    for read in DECODERS:
        assert isinstance(read(bytes(mutant)), Heard | Unheard)


@given(st.sampled_from(TYPES), st.integers(28, 47), st.integers(1, 255))
def test_changed_quote_is_not_intact(packet_type: PacketType, at: int, change: int) -> None:
    """ICMP's checksum covers the quote: the engine has to verify the probe."""
    packet = bytearray(icmp(quote_of(flow_of(packet_type), beyond=8)))
    packet[at] ^= change
    heard = decode_icmp(bytes(packet))
    assert heard is Unheard.MALFORMED or (isinstance(heard, Heard) and not heard.intact)


@given(st.integers(0, 255), st.binary(max_size=60))
def test_wrong_checksum_is_malformed_if_nothing_is_quoted(kind: int, body: bytes) -> None:
    """Whatever the message claims to be."""
    packet = bytearray(bytes(IP(src=ROUTER, dst=US) / ICMP(type=kind) / Raw(body)))
    packet[22] ^= 0x40
    heard = decode_icmp(bytes(packet))
    assert heard is Unheard.MALFORMED or (isinstance(heard, Heard) and not heard.intact)
