"""What is not asked of the policy has its consent."""

import ipaddress

from colotrace_agent.commands.bulk import PLAIN, PLAIN_IF_PUBLIC
from colotrace_agent.policy import refusal
from hypothesis import example, given
from hypothesis import strategies as st


@given(first=st.sampled_from(sorted(PLAIN)), rest=st.binary(min_size=3, max_size=3))
@example(first=1, rest=bytes(3))
@example(first=223, rest=b"\xff\xff\xff")
def test_plain_addresses_are_traced(first: int, rest: bytes) -> None:
    """With the owner's leave for private ones, and without."""
    address = bytes([first]) + rest
    assert refusal(address, allow_private=True) is None
    assert first not in PLAIN_IF_PUBLIC or refusal(address, allow_private=False) is None


def test_networks_with_another_verdict_are_in_none_of_them() -> None:
    """By their ends: what IANA has set apart (RFC 6890) is in blocks of which these are all."""
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    ):  # fmt: skip
        network = ipaddress.ip_network(text)
        assert not {network[0].packed[0], network[-1].packed[0]} & PLAIN_IF_PUBLIC
