"""Which addresses an agent traces, whoever asks."""

import ipaddress
import socket

import pytest
from colotrace_agent.policy import host_refusals, refusal, refusals
from colotrace_proto.notices import Notice, NoticeCode, sentence
from hypothesis import given
from hypothesis import strategies as st

NEVER = [
    *["0.0.0.0", "255.255.255.255", "::"],  # noqa: S104 - nothing is bound here
    *["224.0.0.1", "239.1.2.3", "ff02::1", "::ffff:224.0.0.1"],
]
ONLY_IF_ALLOWED = [
    *["10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1"],
    *["192.0.2.1", "198.18.0.1", "::1", "fe80::1", "fc00::1", "2001:db8::1"],
    # Local or given out to nobody, whatever a library thinks of them.
    *["fec0::1", "64:ff9b:1::1", "4000::1", "::10.0.0.1"],
    # An IPv4 address in an IPv6 one's clothes.
    *["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"],
]
ALWAYS = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::101:101"]


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@pytest.mark.parametrize("text", NEVER)
def test_what_is_no_hosts_address_is_never_traced(text: str) -> None:
    """Not even where private ones are."""
    assert refusal(packed(text), allow_private=True)
    assert refusal(packed(text), allow_private=False)


@pytest.mark.parametrize("text", ONLY_IF_ALLOWED)
def test_what_is_not_public_is_the_owners_to_allow(text: str) -> None:
    """The refusal names the option."""
    assert refusal(packed(text), allow_private=True) is None
    notice = refusal(packed(text), allow_private=False)
    assert notice is not None
    assert "--allow-private" in sentence(notice)


@pytest.mark.parametrize("text", ALWAYS)
def test_public_addresses_are_traced(text: str) -> None:
    """That is what it is for."""
    assert refusal(packed(text), allow_private=False) is None


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_every_address_is_judged(address: bytes) -> None:
    """What is forbidden with --allow-private is forbidden without."""
    if refusal(address, allow_private=True) is not None:
        assert refusal(address, allow_private=False) is not None


def is_routed(address: str) -> bool:
    """Whether this host could send there; one without a network cannot."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.connect_ex((address, 9)) == 0


def test_addresses_of_this_host_are_the_owners_to_allow() -> None:
    """By the kernel's own routing: loopback is one that each host has."""
    loopback, public = packed("127.0.0.1"), packed("1.1.1.1")
    assert refusals([loopback, public], allow_private=True) == [None, None]
    own, other = host_refusals([loopback, public])
    assert own == Notice(NoticeCode.OWN_ADDRESS, addresses=(loopback,))
    assert other is None
    assert all(host_refusals([packed("127.255.255.255"), packed("::1")]))
    if is_routed("224.0.0.1"):
        assert all(host_refusals([packed("224.0.0.1")]))
    # More than are asked for at once.
    assert host_refusals([public] * 70 + [loopback]).index(own) == 70
