"""GRE packets that arrive: replies through tunnels, and probes to one's own host."""

import pytest
from colotrace_agent.model import AnswerKind, FlowKey, Heard, Unheard
from colotrace_agent.packets.decode import decode
from colotrace_agent.packets.formats import number_of, writer_for
from colotrace_agent.packets.gre import (
    decode_gre_packet,
    gre_identity,
)
from colotrace_proto.messages import Family, PacketType
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    IPv6,
)
from scapy.layers.l2 import GRE
from scapy.packet import Packet, Raw
from unit.agent.packets.gre_flows import (
    CHANGES,
    HEADERS,
    TARGET,
    TARGET6,
    US,
    US6,
    flow_of,
    quote_of,
)

TAG = bytes(range(1, 9))
PAYLOAD = b"\xab\xcd" + TAG + bytes(6)


def reply_in(family: Family, *, number: int = 4_007) -> Packet:
    """The target's answer to the inner echo request."""
    if family is Family.IPV4:
        return IP(src=TARGET, dst=US) / ICMP(type=0, id=0x7ACE, seq=number) / Raw(PAYLOAD)
    return IPv6(src=TARGET6, dst=US6) / ICMPv6EchoReply(id=0x7ACE, seq=number, data=PAYLOAD)


def heard_from(family: Family, responder: bytes) -> Heard:
    """What the decoder reads from it."""
    target = flow_of(family).target
    key = FlowKey(PacketType.ICMP, target, 0x7ACE, 0)
    return Heard(AnswerKind.ECHO_REPLY, responder, key, 4_007, tag=TAG)


FLAGS = [
    {"chksum_present": c, "key_present": k, "seqnum_present": s, "key": 5 if k else None}
    for c in (0, 1)
    for k in (0, 1)
    for s in (0, 1)
]


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("flags", FLAGS)
def test_inner_reply_identifies_the_probe(family: Family, flags: dict[str, int]) -> None:
    """With any fields of the tunnel's own header (RFC 2784, RFC 2890)."""
    gre = GRE(**{name: value for name, value in flags.items() if value is not None})
    message = bytes(gre / reply_in(family))
    target = flow_of(family).target
    assert decode_gre_packet(message, target) == heard_from(family, target)


def test_outer_header_is_skipped() -> None:
    """Its options too. The responder is the source of the tunnel's packet."""
    for options in ([], [IPOption_Router_Alert()]):
        outer = IP(src="203.0.113.10", dst=US, options=options)
        heard = decode(Family.IPV4, PacketType.GRE, bytes(outer / GRE() / reply_in(Family.IPV4)))
        assert heard == heard_from(Family.IPV4, bytes([203, 0, 113, 10]))


def test_ipv6_reply_in_an_ipv4_tunnel() -> None:
    """The outer header's family may differ."""
    heard = decode(
        Family.IPV4, PacketType.GRE, bytes(IP(src=TARGET, dst=US) / GRE() / reply_in(Family.IPV6))
    )
    assert heard == heard_from(Family.IPV6, bytes([203, 0, 113, 9]))


def test_foreign_and_malformed_packets_are_told_apart() -> None:
    """They are counted separately."""
    sound = bytes(GRE() / reply_in(Family.IPV4))
    sound6 = bytes(GRE() / reply_in(Family.IPV6))
    summed = bytes(GRE(chksum_present=1) / reply_in(Family.IPV4))
    request = IP(src=TARGET, dst=US) / ICMP(type=8, id=0x7ACE)
    others = [
        bytes(GRE() / request),
        bytes(GRE() / IP(src=TARGET, dst=US) / TCP()),
        bytes(GRE() / IP(src=TARGET, dst=US, frag=8, proto=1) / Raw(bytes(16))),
        bytes(GRE(version=1) / reply_in(Family.IPV4)),
        bytes(GRE(routing_present=1) / reply_in(Family.IPV4)),
        b"\x00\x00\x65\x58" + sound[4:],
        sound[:4],
        sound[:31],
    ]
    assert {decode_gre_packet(data, b"\1\2\3\4") for data in others} == {Unheard.NOT_OURS}
    broken = [
        b"",
        sound[:3],
        sound[:-1],
        summed[:10] + b"\x55" + summed[11:],
    ]
    assert {decode_gre_packet(data, b"\1\2\3\4") for data in broken} == {Unheard.MALFORMED}
    for data in (sound[:30] + b"\x55" + sound[31:], sound6[:60] + b"\x55" + sound6[61:]):
        heard = decode_gre_packet(data, b"\1\2\3\4")
        assert isinstance(heard, Heard)
        assert not heard.intact
    outer = bytes(IP(src=TARGET, dst=US) / GRE() / reply_in(Family.IPV4))
    outers = [b"", outer[:19], b"\x44" + outer[1:], b"\x65" + outer[1:]]
    outers += [outer[:9] + b"\x11" + outer[10:], b"\x4f" + outer[1:30]]
    assert {decode(Family.IPV4, PacketType.GRE, data) for data in outers} == {Unheard.MALFORMED}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    """From the network, so nothing may raise."""
    for prefix in (b"", b"\x20\x00\x08\x00", b"\x20\x00\x86\xdd", b"\x00\x00\x08\x00\x45"):
        identity = gre_identity(prefix + data)
        assert identity is None or 0 <= identity.identifier < 1 << 32
        assert isinstance(decode(Family.IPV4, PacketType.GRE, prefix + data), Heard | Unheard)
        assert isinstance(decode_gre_packet(prefix + data, bytes(4)), Heard | Unheard)


@given(st.sampled_from(Family), CHANGES)
def test_a_mutated_reply_is_not_intact(family: Family, changes: list[tuple[int, int]]) -> None:
    """The inner checksum covers identifier, sequence and tag. If a byte of these has changed, the
    engine has to verify the probe."""
    sound = bytes(GRE() / reply_in(family))
    responder = flow_of(family).target
    echo = 4 + HEADERS[family]
    for at, change in changes[:1]:
        mutant = bytearray(sound)
        mutant[echo + at % 24] ^= change
        heard = decode_gre_packet(bytes(mutant), responder)
        assert not (isinstance(heard, Heard) and heard.intact)
    mutant = bytearray(sound)
    for at, change in changes:
        mutant[at % len(mutant)] ^= change
    assert isinstance(decode_gre_packet(bytes(mutant), responder), Heard | Unheard)


@pytest.mark.parametrize("family", list(Family))
def test_probe_to_the_own_host_is_its_own_answer(family: Family) -> None:
    """It is identified as its quote would be. From another address it is foreign."""
    flow = flow_of(family)
    message = quote_of(flow)
    tag = flow.marks.tag(7)
    wanted = Heard(AnswerKind.ECHO_REPLY, flow.target, flow.key, number_of(flow, 7), tag=tag)
    assert decode_gre_packet(message, flow.source) == wanted
    for responder in (flow.target, bytes(len(flow.source)), b""):
        assert decode_gre_packet(message, responder) is Unheard.NOT_OURS
    if family is Family.IPV4:
        assert decode(Family.IPV4, PacketType.GRE, bytes(writer_for(flow).write(7, 1))) == wanted


@pytest.mark.parametrize("first", ["a0000800", "30000800", "00000800"])
def test_echo_request_of_another_tunnel_is_refused(first: str) -> None:
    """It has flags that no probe has; its checksum is wrong anyway."""
    flow = flow_of(Family.IPV4)
    header = bytes.fromhex(first)
    skipped = 4 * (header[0] >> 4).bit_count()
    message = header + bytes(skipped) + quote_of(flow)[8:]
    assert isinstance(decode_gre_packet(message, flow.source), Unheard)
