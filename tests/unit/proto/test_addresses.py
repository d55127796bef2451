"""What kind of address a target is, in whatever clothes."""

import ipaddress

import pytest
from colotrace_proto.addresses import is_one_host, is_public, unwrapped
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2606:4700::1", "2606:4700::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("2002:c000:201::5", "192.0.2.1"),
        # Not a well-known prefix: the operator's own, and so not public.
        ("64:ff9b:1::192.0.2.1", "64:ff9b:1::c000:201"),
        ("::192.0.2.1", "::c000:201"),
    ],
)
def test_unwrapped(text: str, inner: str) -> None:
    """Where a packet comes to in the end."""
    assert str(unwrapped(ipaddress.ip_address(text))) == inner


@given(st.ip_addresses(v=4))
def test_clothes_change_nothing(address: ipaddress.IPv4Address) -> None:
    """Neither whether it is one host's nor whether it is public."""
    low = int(address)
    for number in (0xFFFF << 32 | low, 0x64FF9B << 96 | low, 0x2002 << 112 | low << 80 | 1):
        wrapped = ipaddress.IPv6Address(number)
        assert unwrapped(wrapped) == address
        assert is_one_host(wrapped) is is_one_host(address)
        assert is_public(wrapped) is is_public(address)


@given(st.ip_addresses())
def test_public_addresses_are_one_hosts(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Multicast is none, though some of it is routed everywhere."""
    inner = unwrapped(address)
    if is_public(address) and not inner.is_multicast:
        assert is_one_host(address)
