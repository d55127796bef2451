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
def test_embedded_address_is_unwrapped(text: str, inner: str) -> None:
    """The address that a packet finally reaches."""
    assert str(unwrapped(ipaddress.ip_address(text))) == inner


@given(st.ip_addresses(v=4))
def test_embedding_does_not_change_the_verdict(address: ipaddress.IPv4Address) -> None:
    """Neither whether it is one host's nor whether it is public."""
    low = int(address)
    for number in (0xFFFF << 32 | low, 0x64FF9B << 96 | low, 0x2002 << 112 | low << 80 | 1):
        wrapped = ipaddress.IPv6Address(number)
        assert unwrapped(wrapped) == address
        assert is_one_host(wrapped) is is_one_host(address)
        assert is_public(wrapped) is is_public(address)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("2600:1::5efe:10.0.0.1", False),
        ("2600:1::200:5efe:10.0.0.1", False),
        ("2600:1::5efe:8.8.8.8", True),
        ("2001:db8::5efe:8.8.8.8", False),
        ("2600:1::5eff:10.0.0.1", True),
        # Both of a 6to4 address that is also ISATAP's.
        ("2002:0:0::5efe:8.8.8.8", False),
        ("2002:808:808::5efe:8.8.8.8", True),
        ("2002:808:808::5efe:10.0.0.1", False),
        # Teredo's server, and its client behind a NAT.
        ("2001:0:7f00:1::1", False),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", False),
    ],
)
def test_public_tunnel_to_a_private_host_is_not_public(text: str, public: bool) -> None:
    """A public prefix in front of a private host makes it no public one."""
    assert is_public(ipaddress.ip_address(text)) is public


@given(st.ip_addresses())
def test_public_addresses_belong_to_one_host(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Multicast does not, though some of it is routed everywhere."""
    inner = unwrapped(address)
    if is_public(address) and not inner.is_multicast:
        assert is_one_host(address)
