"""The internet checksum against scapy's."""

from colotrace_agent.packets.checksum import checksum, ones_sum, pseudo_header
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.utils import checksum as scapys


@given(st.binary(max_size=200))
def test_checksum_equals_scapys(data: bytes) -> None:
    """Over any data, also of odd length; 0 and 0xffff are the same sum."""
    assert checksum(ones_sum(data)) % 0xFFFF == scapys(data) % 0xFFFF


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_sum_of_parts_is_the_sum_of_all(first: bytes, second: bytes) -> None:
    """If each part begins at an even place."""
    first += bytes(len(first) % 2)
    whole = ones_sum(first + second)
    assert (ones_sum(first) + ones_sum(second)) % 0xFFFF == whole


@given(st.binary(min_size=8, max_size=60), st.sampled_from([6, 17, 58]), st.booleans())
def test_pseudo_header_equals_scapys(data: bytes, protocol: int, six: bool) -> None:
    """One form serves both families."""
    data = data[:6] + bytes(2) + data[8:]
    if six:
        source, target = bytes(range(16)), bytes(range(100, 116))
        expected = in6_chksum(
            protocol, IPv6(src="1:203:405:607:809:a0b:c0d:e0f", dst=_text(target)), data
        )
    else:
        source, target = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9])
        expected = in4_chksum(protocol, IP(src="192.0.2.1", dst="203.0.113.9"), data)
    header = pseudo_header(source, target, protocol=protocol, length=len(data))
    assert checksum(ones_sum(header) + ones_sum(data)) % 0xFFFF == expected % 0xFFFF


def _text(packed: bytes) -> str:
    return ":".join(packed[at : at + 2].hex() for at in range(0, 16, 2))
