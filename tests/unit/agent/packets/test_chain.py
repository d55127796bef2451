"""Extension headers of quoted IPv6 packets, as scapy builds them."""

import pytest
from colotrace_agent.packets.chain import MOST_HEADERS, Upper, upper_of
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.packet import Packet, Raw

UDP = 17
HEADERS = {
    "hop-by-hop": lambda: IPv6ExtHdrHopByHop(),
    "routing": lambda: IPv6ExtHdrRouting(addresses=["2001:db8::7", "2001:db8::8"]),
    "fragment": lambda: IPv6ExtHdrFragment(id=0x1234),
    "destination": lambda: IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(20))]),
    "authentication": lambda: AH(payloadlen=4, icv=bytes(12), padding=b""),
}

NUMBERS = {
    "hop-by-hop": 0,
    "routing": 43,
    "fragment": 44,
    "destination": 60,
    "authentication": 51,
}


def chained(*names: str) -> bytes:
    """An IPv6 packet with these headers, and UDP behind them."""
    packet: Packet = IPv6(src="2001:db8::1", dst="2001:db8::2")
    numbers = [*(NUMBERS[name] for name in names), UDP]
    packet.nh = numbers[0]
    for name, following in zip(names, numbers[1:], strict=True):
        header = HEADERS[name]()
        header.nh = following
        packet /= header
    return bytes(packet / Raw(bytes(8)))


@given(st.lists(st.sampled_from(sorted(HEADERS)), max_size=MOST_HEADERS))
def test_upper_layer_behind_any_chain_is_found(names: list[str]) -> None:
    """Its place, and the place of the field that names it."""
    packet = chained(*names)
    upper = upper_of(packet)
    assert upper is not None
    assert (upper.protocol, upper.start) == (UDP, len(packet) - 8)
    assert packet[upper.named_at] == UDP
    assert upper.named_at == 6 if not names else upper.named_at >= 40


def test_long_chain_is_not_followed() -> None:
    """A stranger chooses its length."""
    assert upper_of(chained(*["hop-by-hop"] * MOST_HEADERS)) is not None
    assert upper_of(chained(*["hop-by-hop"] * (MOST_HEADERS + 1))) is None


@pytest.mark.parametrize("offset", [0, 1, 8191])
def test_later_fragment_has_no_upper_layer(offset: int) -> None:
    """The first fragment has."""
    for more in (0, 1):
        fragment = IPv6ExtHdrFragment(nh=UDP, offset=offset, m=more)
        packet = bytes(IPv6() / fragment / Raw(bytes(8)))
        assert upper_of(packet) == (Upper(UDP, 48, 40) if offset == 0 else None)


@given(st.binary(min_size=40, max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    """The place found lies in the packet."""
    upper = upper_of(data)
    assert upper is None or (upper.named_at < len(data) and upper.start >= 40)


@given(st.lists(st.sampled_from(sorted(HEADERS)), min_size=1, max_size=3), st.data())
def test_cut_chain_shows_no_upper_layer(names: list[str], data: st.DataObject) -> None:
    """Nothing is read beyond the end."""
    packet = chained(*names)
    keep = data.draw(st.integers(40, len(packet) - 9))
    upper = upper_of(packet[:keep])
    assert upper is not None
    assert upper.start + 8 > keep
