"""IANA's special-purpose blocks."""

import ipaddress

import pytest
from colotrace_proto.special_purpose import BLOCKS, block_of, is_reachable


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.prefix)
def test_first_and_last_address_are_in_their_block_or_a_more_specific_one(
    block: tuple[str, ...],
) -> None:
    """Prefixes are well formed, and the most specific block decides."""
    network = ipaddress.ip_network(block[0])
    for address in (network[0], network[-1]):
        found = block_of(address)
        assert found is not None
        assert ipaddress.ip_network(found.prefix).prefixlen >= network.prefixlen


@pytest.mark.parametrize(
    ("text", "reachable"),
    [
        *[("0.1.2.3", False), ("100.64.0.1", False), ("100.128.0.1", True)],
        *[("172.31.255.255", False), ("172.32.0.0", True)],
        # Exceptions inside of 192.0.0.0/24.
        *[("192.0.0.1", False), ("192.0.0.8", False), ("192.0.0.9", True), ("192.0.0.10", True)],
        *[("192.0.0.11", False), ("192.0.0.170", False), ("192.0.1.1", True)],
        *[("192.31.196.1", True), ("192.88.99.1", False), ("192.88.99.2", False)],
        *[("198.17.255.255", True), ("198.18.0.0", False), ("198.20.0.0", True)],
        *[("223.255.255.255", True), ("224.0.0.0", False), ("239.1.1.1", False)],
        *[("240.0.0.1", False), ("255.255.255.255", False)],
        # Nothing of IPv6 but 2000::/3, and NAT64's prefix.
        *[("::2", False), ("4000::1", False), ("fec0::1", False), ("200::1", False)],
        *[("64:ff9b::1", True), ("64:ff9b:1::1", False), ("64:ff9b:0:0:0:1::", False)],
        *[("100::1", False), ("100:0:0:1::1", False), ("100:0:0:2::1", False)],
        *[("2001::1", False), ("2001:1::1", True), ("2001:1::3", True), ("2001:1::4", False)],
        *[("2001:2::1", False), ("2001:3::1", True), ("2001:4:112::1", True)],
        *[("2001:10::1", False), ("2001:20::1", False), ("2001:30::1", False)],
        *[("2001:200::1", True), ("2001:db8::1", False), ("2001:db9::1", True)],
        *[("2002::1", False), ("2620:4f:8000::1", True), ("2606:4700::1", True)],
        *[("3fff::1", False), ("3fff:fff::1", False), ("3fff:1000::1", True)],
        *[("5f00::1", False), ("fc00::1", False), ("fdff::1", False), ("fe80::1", False)],
        *[("ff0e::1", False)],
    ],
)
def test_reachable_as_registered(text: str, reachable: bool) -> None:
    """The registries' column."""
    assert is_reachable(ipaddress.ip_address(text)) is reachable
