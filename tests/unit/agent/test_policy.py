"""Which addresses an agent traces, whoever asks."""

import ipaddress
from collections.abc import Collection

import pytest
from colotrace_agent.policy import PLAIN, PLAIN_IF_PUBLIC, Barred, Policy, refusal
from colotrace_proto.messages import Failure, Family
from colotrace_proto.notices import Notice, NoticeCode, sentence
from hypothesis import example, given
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
def test_address_of_no_host_is_never_traced(text: str) -> None:
    """Not even if private ones are allowed."""
    assert refusal(packed(text), allow_private=True)
    assert refusal(packed(text), allow_private=False)


@pytest.mark.parametrize("text", ONLY_IF_ALLOWED)
def test_private_address_needs_allow_private(text: str) -> None:
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
    """An address that is forbidden with --allow-private is forbidden without it."""
    if refusal(address, allow_private=True) is not None:
        assert refusal(address, allow_private=False) is not None


def policy(*, allow_private: bool = False, families: Collection[Family] = Family) -> Policy:
    return Policy(allow_private=allow_private, families=lambda: families)


def delivered(monkeypatch: pytest.MonkeyPatch, kinds: dict[bytes, str]) -> None:
    """Have the kernel's routing say so of these addresses, and nothing of others."""
    monkeypatch.setattr(
        "colotrace_agent.policy.kinds", lambda addresses: [kinds.get(each) for each in addresses]
    )


def test_address_of_this_host_needs_allow_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also public ones, and broadcast addresses of its links: the kernel's routing is asked."""
    own, link, public = packed("1.0.0.1"), packed("8.8.8.255"), packed("1.1.1.1")
    delivered(monkeypatch, {own: "own", link: "link"})
    assert policy(allow_private=True).judge_all([own, link, public]) == [None, None, None]
    strict = policy()
    assert strict.judge_all([own, link, public]) == [
        Barred(Failure.POLICY, Notice(NoticeCode.OWN_ADDRESS, addresses=(own,)), own),
        Barred(Failure.POLICY, Notice(NoticeCode.LINK_BROADCAST, addresses=(link,)), link),
        None,
    ]
    assert strict.judge("www.example", [own, public]) == [public]
    assert strict.judge("www.example", [own]) == Barred(
        Failure.POLICY, Notice(NoticeCode.OWN_ADDRESS, name="www.example"), b""
    )
    assert all(strict.judge_all([packed("127.0.0.1"), packed("127.255.255.255"), packed("::1")]))


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("families", [{Family.IPV4}, {Family.IPV6}, set(), set(Family)])
@given(
    addresses=st.lists(
        st.sampled_from([packed(text) for text in (*NEVER, *ONLY_IF_ALLOWED, *ALWAYS)]), max_size=5
    )
)
def test_verdict_is_the_same_alone_and_among_others(
    addresses: list[bytes], families: set[Family], *, allow_private: bool
) -> None:
    """As the only target, as one of many, and as the address of a name."""
    judge = policy(allow_private=allow_private, families=families)
    many = judge.judge_all(addresses)
    alone = [judge.judge(str(ipaddress.ip_address(each)), [each]) for each in addresses]
    assert alone == [barred or [address] for address, barred in zip(addresses, many, strict=True)]
    if addresses:
        usable = [address for address, barred in zip(addresses, many, strict=True) if not barred]
        resolved = judge.judge("www.example", addresses)
        assert resolved == usable or (isinstance(resolved, Barred) and not usable)


def test_missing_family_is_named_in_the_refusal() -> None:
    """For a name, all of them."""
    only6 = policy(families={Family.IPV6})
    (barred,) = only6.judge_all([packed("1.1.1.1")])
    assert barred == Barred(
        Failure.NO_FAMILY, Notice(NoticeCode.NO_FAMILY, families=(4,)), packed("1.1.1.1")
    )
    named = only6.judge("www.example", [packed("8.8.8.8"), packed("1.1.1.1")])
    cause = Notice(NoticeCode.UNSENDABLE_FAMILIES, name="www.example", families=(4,))
    assert named == Barred(Failure.NO_FAMILY, cause, packed("8.8.8.8"))


@given(first=st.sampled_from(sorted(PLAIN)), rest=st.binary(min_size=3, max_size=3))
@example(first=1, rest=bytes(3))
@example(first=223, rest=b"\xff\xff\xff")
def test_plain_addresses_are_traced(first: int, rest: bytes) -> None:
    """With and without permission for private ones."""
    address = bytes([first]) + rest
    assert refusal(address, allow_private=True) is None
    assert first not in PLAIN_IF_PUBLIC or refusal(address, allow_private=False) is None


def test_plain_networks_contain_no_special_block() -> None:
    """By their ends: IANA's special-purpose blocks (RFC 6890) lie outside."""
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    ):  # fmt: skip
        network = ipaddress.ip_network(text)
        assert not {network[0].packed[0], network[-1].packed[0]} & PLAIN_IF_PUBLIC
