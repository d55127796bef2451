"""Every probe that can be written, as scapy reads it."""

import ipaddress

import pytest
from colotrace_agent.model import Flow
from colotrace_agent.packets.formats import PACKET_TYPES, number_of, writer_for
from colotrace_agent.packets.template import template
from colotrace_proto.messages import MAX_PROBES, Family, PacketType
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, in4_chksum
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, in6_chksum
from scapy.packet import Packet
from scapy.utils import checksum
from unit.agent.made import marks

SPACE = {PacketType.ICMP: 1 << 16, PacketType.UDP: 0xFFFE, PacketType.TCP: 1 << 32}
TYPES = sorted(SPACE)  # GRE has tests of its own
NUMBERS = {IP: {ICMP: 1, UDP: 17, TCP: 6}, IPv6: {ICMPv6EchoRequest: 58, UDP: 17, TCP: 6}}


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Any flow of either family."""
    kind = draw(st.sampled_from(TYPES))
    length = draw(st.sampled_from([4, 16]))
    address = st.binary(min_size=length, max_size=length)
    return Flow(
        packet_type=PacketType(kind),
        source=draw(address),
        target=draw(address),
        identifier=draw(st.integers(1, 65_535)),
        port=0 if kind == PacketType.ICMP else draw(st.integers(1, 65_535)),
        first_number=draw(st.integers(0, SPACE[kind] - 1)) + (kind == PacketType.UDP),
        marks=marks(draw(st.binary(max_size=4))),
    )


def read(packet: bytes) -> tuple[Packet, Packet]:
    """The IP layer and the transport, lengths and checksums found right."""
    if packet[0] >> 4 == 4:
        ip = IP(packet)
        assert ip.len == len(packet)
        payload, transport = packet[20:], ip.payload
        total = checksum(payload) if ip.proto == 1 else in4_chksum(ip.proto, ip, payload)
    else:
        ip = IPv6(packet)
        assert ip.plen == len(packet) - 40
        payload, transport = packet[40:], ip.payload
        total = in6_chksum(ip.nh, ip, payload)
    # A UDP checksum that comes to 0 is sent as 0xffff (RFC 768), so the sum can be either zero.
    assert total in {0, 0xFFFF}
    number = ip.proto if isinstance(ip, IP) else ip.nh
    assert NUMBERS[type(ip)][type(transport)] == number
    return ip, transport


ORDINALS = st.integers(0, MAX_PROBES - 1)


@given(flows(), ORDINALS, st.integers(1, 64))
def test_probe_has_the_fields_of_its_flow(flow: Flow, ordinal: int, ttl: int) -> None:
    """Addresses, TTL, ports or identifier, number and IP ID; every checksum is right."""
    ip, transport = read(bytes(writer_for(flow).write(ordinal, ttl)))
    assert ipaddress.ip_address(ip.src).packed == flow.source
    assert ipaddress.ip_address(ip.dst).packed == flow.target
    assert (ip.ttl if isinstance(ip, IP) else ip.hlim) == ttl
    if isinstance(ip, IP):
        assert ip.id == flow.marks.ip_ids[ordinal] != 0
    number = number_of(flow, ordinal)
    if flow.packet_type is PacketType.ICMP:
        assert (transport.id, transport.seq) == (flow.identifier, number)
        assert bytes(transport)[10:18] == flow.marks.tag(ordinal)
    elif flow.packet_type is PacketType.UDP:
        assert (transport.sport, transport.dport) == (flow.identifier, flow.port)
        assert transport.chksum == number not in {0, 0xFFFF}
        assert transport.len == len(transport)
        assert bytes(transport)[10:18] == flow.marks.tag(ordinal)
    else:
        assert (transport.sport, transport.dport) == (flow.identifier, flow.port)
        assert (transport.seq, transport.ack, str(transport.flags)) == (number, 0, "S")
        assert transport.dataofs * 4 == len(transport)


@given(flows(), st.lists(ORDINALS, min_size=2, max_size=5), st.integers(1, 64))
def test_probes_of_a_flow_hash_alike(flow: Flow, ordinals: list[int], ttl: int) -> None:
    """The fields that load balancers hash stay the same, as in Paris traceroute."""
    writer = writer_for(flow)
    seen = set()
    for ordinal in ordinals:
        packet = bytes(writer.write(ordinal, ttl))
        start = 20 if packet[0] >> 4 == 4 else 40
        hashed = 6 if flow.packet_type is PacketType.ICMP else 4
        label = packet[:4] if start == 40 else packet[1:2]
        seen.add((label, packet[start : start + hashed]))
    assert len(seen) == 1


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("packet_type", sorted(PACKET_TYPES))
def test_flow_traced_again_hashes_alike(packet_type: PacketType, family: Family) -> None:
    """So that the paths of two measurements can be compared. What is keyed has changed."""
    address = bytes(range(1, 5 if family is Family.IPV4 else 17))
    hashed = set()
    for first, context in ((4_000, b"one"), (9_000, b"other")):
        flow = Flow(packet_type, address, address, 20_002, 33_434, first, marks(context))
        transport = bytes(writer_for(flow).write(3, 5))[20 if family is Family.IPV4 else 40 :]
        if packet_type is PacketType.GRE:
            # Its key, and the same of the echo request that it carries.
            echo = 8 + (20 if family is Family.IPV4 else 40)
            hashed.add(transport[: echo + 6])
        else:
            hashed.add(transport[: 6 if packet_type is PacketType.ICMP else 4])
    assert len(hashed) == 1


@given(flows())
def test_bytes_depend_on_flow_ordinal_and_ttl_only(flow: Flow) -> None:
    """Not on probes written before."""
    writer = writer_for(flow)
    first = bytes(writer.write(0, 1))
    writer.write(5, 9)
    assert bytes(writer.write(0, 1)) == first == bytes(writer_for(flow).write(0, 1))


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("packet_type", sorted(PACKET_TYPES))
def test_probes_of_a_type_have_the_same_length(packet_type: PacketType, family: Family) -> None:
    """Some routers balance by length."""
    length = len(template(packet_type, family))
    address = bytes(4 if family is Family.IPV4 else 16)
    flow = Flow(packet_type, address, address, 1, 2, 3, marks())
    assert {len(writer_for(flow).write(n, 1 + n % 64)) for n in range(MAX_PROBES)} == {length}


def test_type_without_probes_raises_an_error() -> None:
    """It is not written wrongly."""
    with pytest.raises(ValueError, match=r"gre\+icmp"):
        template(PacketType.GRE_ICMP, Family.IPV4)
