"""Which targets may be traced."""

import ipaddress

import pytest
from colotrace_coordinator.policy import TargetPolicy, literal
from colotrace_proto.messages import Family
from hypothesis import given
from hypothesis import strategies as st

PUBLIC_ONLY = TargetPolicy()
ALL = TargetPolicy(allow_private=True)


@pytest.mark.parametrize(
    ("target", "wanted", "words"),
    [
        ("8.8.8.8", Family.IPV6, "8.8.8.8 is an IPv4 address, and IPv6 was asked for"),
        ("2001:4860::1", Family.IPV4, "2001:4860::1 is an IPv6 address, and IPv4 was asked for"),
        ("134744072", Family.IPV6, "134744072 is an IPv4 address, and IPv6 was asked for"),
        ("8.8.8.8", Family.IPV4, None),
        ("2001:4860::1", Family.IPV6, None),
        ("8.8.8.8.example", Family.IPV6, None),
    ],
)
def test_address_of_the_other_family_is_refused(
    target: str, wanted: Family, words: str | None
) -> None:
    assert PUBLIC_ONLY.refusal(target, family=wanted) == words


@pytest.mark.parametrize(
    "target",
    [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "240.0.0.1",
        "::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:0a00:0001::1",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2600:1::5efe:10.0.0.1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "4000::1",
    ],
)
def test_addresses_off_the_public_internet_need_leave(target: str) -> None:
    """In whatever form they are written or wrapped; the words name the remedy."""
    assert "--allow-private" in (PUBLIC_ONLY.refusal(target) or "")
    assert ALL.refusal(target) is None


@pytest.mark.parametrize(
    "target",
    ["0", "0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:224.0.0.1"],
)
def test_addresses_of_no_single_host_are_never_traced(target: str) -> None:
    """No flag makes a path to them."""
    assert "no path leads to it" in (PUBLIC_ONLY.refusal(target) or "")
    assert ALL.refusal(target) is not None


@pytest.mark.parametrize(
    "target",
    [
        "1.1.1.1",
        "8.8.8.8",
        "2606:4700::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:0808:0808::1",
        "example.com",
        "localhost",
        "10.example.com",
        "1.2.3.4.5",
        "999.1.1.1",
        "",
    ],
)
def test_public_addresses_and_all_names_pass(target: str) -> None:
    """A name is judged by the agents, after they have resolved it."""
    assert PUBLIC_ONLY.refusal(target) is None


@given(st.ip_addresses(v=4))
def test_wrapping_changes_nothing(address: ipaddress.IPv4Address) -> None:
    """An IPv4 address inside IPv6 is judged as itself."""
    refused = PUBLIC_ONLY.refusal(str(address)) is not None
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}", str(int(address))):
        assert (PUBLIC_ONLY.refusal(wrapped) is not None) is refused


@given(st.text())
def test_any_text_is_judged(target: str) -> None:
    """Nothing that a caller writes breaks the judge."""
    PUBLIC_ONLY.refusal(target)
    literal(target)


@pytest.mark.parametrize("policy", [PUBLIC_ONLY, ALL])
def test_names_that_a_rule_of_idna_forbids(policy: TargetPolicy) -> None:
    """They are refused one by one: by older rules they would be other names."""
    assert policy.refusal("a\u200db.example")
    assert policy.refusal("ab.example") is None
    assert policy.refusal("straße.example") is None
    assert policy.refusal("☃.example") is None
