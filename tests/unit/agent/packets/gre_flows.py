"""GRE flows and the quotes of their probes."""

import ipaddress

from colotrace_agent.model import Flow
from colotrace_agent.packets.formats import writer_for
from colotrace_proto.messages import MAX_PROBES, Family, PacketType
from hypothesis import strategies as st
from scapy.packet import Packet
from unit.agent.made import marks

KEY = 0xC0107ACE
US, TARGET = "192.0.2.1", "203.0.113.9"
US6, TARGET6 = "2001:db8::1", "2001:db8:ffff::9"
HEADERS = {Family.IPV4: 20, Family.IPV6: 40}
ORDINALS = st.integers(0, MAX_PROBES - 1)


def flow_of(family: Family, **fields: int) -> Flow:
    """A flow to the target."""
    pair = (US, TARGET) if family is Family.IPV4 else (US6, TARGET6)
    source, target = (ipaddress.ip_address(address).packed for address in pair)
    return Flow(
        packet_type=PacketType.GRE,
        source=source,
        target=target,
        identifier=fields.get("key", KEY),
        port=0,
        first_number=fields.get("first_number", 4_000),
        marks=marks(),
    )


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Any flow of either family."""
    length = draw(st.sampled_from([4, 16]))
    address = st.binary(min_size=length, max_size=length)
    return Flow(
        packet_type=PacketType.GRE,
        source=draw(address),
        target=draw(address),
        identifier=draw(st.integers(0, (1 << 32) - 1)),
        port=0,
        first_number=draw(st.integers(0, 65_535)),
        marks=marks(draw(st.binary(max_size=4))),
    )


def quote_of(flow: Flow, ordinal: int = 7) -> bytes:
    """The probe from the GRE header on."""
    return bytes(writer_for(flow).write(ordinal, 1)[HEADERS[flow.family] :])


def addresses(ip: Packet) -> tuple[bytes, bytes]:
    """A header's source and target."""
    return ipaddress.ip_address(ip.src).packed, ipaddress.ip_address(ip.dst).packed


CHANGES = st.lists(st.tuples(st.integers(0, 199), st.integers(1, 255)), max_size=4)
