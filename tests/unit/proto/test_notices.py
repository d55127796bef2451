"""Notices in words: a sentence for each code, and something safe for any other."""

import errno

import pytest
from colotrace_proto.notices import MAX_TEXT, Notice, NoticeCode, sentence
from hypothesis import given
from hypothesis import strategies as st

ROUTER, OTHER = bytes([198, 18, 0, 1]), bytes([198, 18, 0, 2])
SOME = {
    "ttls": (2, 3),
    "addresses": (ROUTER, OTHER),
    "count": 7,
    "least": 1,
    "most": 64,
    "name": "web.example",
    "reason": "why",
    "families": (4, 6),
    "errors": ((errno.EPERM, 5),),
}
ANY = st.builds(
    Notice,
    code=st.sampled_from(NoticeCode) | st.integers(0, 2**32 - 1),
    ttls=st.lists(st.integers(1, 64), max_size=64).map(tuple),
    addresses=st.lists(st.sampled_from([ROUTER, bytes(16)]), max_size=16).map(tuple),
    count=st.integers(0, 2**64 - 1),
    least=st.integers(0, 2**32 - 1),
    most=st.integers(0, 2**32 - 1),
    name=st.text(max_size=MAX_TEXT),
    reason=st.text(max_size=MAX_TEXT),
    families=st.sampled_from([(), (4,), (4, 6)]),
    errors=st.lists(st.tuples(st.integers(1, 4_095), st.integers(0, 2**32 - 1)), max_size=9).map(
        tuple
    ),
    packet_type=st.sampled_from(["", "udp", "gre+icmp"]),
)


@pytest.mark.parametrize("code", NoticeCode)
def test_every_code_has_a_sentence(code: NoticeCode) -> None:
    words = sentence(Notice(code, **SOME))  # type: ignore[arg-type]
    assert not words.startswith("code ")
    assert not {"{", "}"} & set(words)


@pytest.mark.parametrize("code", NoticeCode)
def test_a_notice_without_its_parameters_is_shown_as_its_code(code: NoticeCode) -> None:
    """No sentence has a gap, whatever a peer leaves out; numbers that are left out are 0."""
    numbers = {"count": 0, "least": 0, "most": 0}
    whole = sentence(Notice(code, **SOME | numbers))  # type: ignore[arg-type]
    assert sentence(Notice(code)) in (f"code {code}", whole)


def test_sentences_of_different_codes_differ() -> None:
    assert len({sentence(Notice(code, **SOME)) for code in NoticeCode}) == len(NoticeCode)  # type: ignore[arg-type]


def test_an_unknown_code_is_shown_with_its_parameters() -> None:
    """A newer agent's: the number can be looked up, and nothing is hidden."""
    words = sentence(Notice(999, **SOME))  # type: ignore[arg-type]
    assert words == (
        "code 999: ttls 2, 3; addresses 198.18.0.1, 198.18.0.2; count 7; least 1; most 64; "
        "name web.example; reason why; families IPv4 and IPv6; errors 5 x Operation not permitted"
    )
    assert sentence(Notice(999)) == "code 999"
    assert sentence(Notice(999, name="a\x1b[2J\u202e")) == "code 999: name a\\x1b[2J\\u202e"


@given(ANY)
def test_whatever_a_peer_sends_is_safe_and_bounded(notice: Notice) -> None:
    words = sentence(notice)
    assert words.isprintable()
    assert len(words) <= MAX_TEXT


@pytest.mark.parametrize(
    ("notice", "words"),
    [
        (
            Notice(NoticeCode.TAKEN_FOR_TARGET, (2, 3), (ROUTER, OTHER), count=2),
            (
                "198.18.0.1 at hop 2, 198.18.0.2 at hop 3 and 2 more answered port unreachable "
                "and is taken for another address of the target; it may be a firewall on the way"
            ),
        ),
        (
            Notice(NoticeCode.HOPS_LIMIT, (1, 2)),
            "hop 1, 2: probably limits the rate of its answers, since hops beyond it lost nothing",
        ),
        (
            Notice(NoticeCode.PROBE_BUDGET, count=3, packet_type="gre"),
            "GRE: the probe budget ended with 3 flows: there may be more paths",
        ),
        (
            Notice(NoticeCode.NO_PROBE_SENT, errors=((errno.EPERM, 2), (errno.EHOSTUNREACH, 1))),
            ("no probe could be sent from here: 2 x Operation not permitted, 1 x No route to host"),
        ),
        (
            Notice(
                NoticeCode.PROBES_UNSENT,
                addresses=(ROUTER,),
                name="eth0",
                errors=((errno.EHOSTUNREACH, 2),),
            ),
            (
                "probes that could not be sent from here, and are not counted as lost: "
                "2 x No route to host (no answer from neighbour 198.18.0.1 on eth0)"
            ),
        ),
        (
            Notice(NoticeCode.NOT_PUBLIC, name="web.example"),
            (
                "what web.example resolves to is not a public address, and this agent runs without "
                "--allow-private"
            ),
        ),
        (
            Notice(NoticeCode.OUT_OF_RANGE, name="max_ttl", count=65, least=1, most=64),
            "max_ttl 65 is not within 1 to 64",
        ),
        (
            Notice(NoticeCode.UNSENDABLE_FAMILIES, name="web.example", families=(4, 6)),
            "web.example has only IPv4 and IPv6 addresses, which the agent cannot send",
        ),
    ],
)
def test_parameters_stand_in_the_sentence(notice: Notice, words: str) -> None:
    assert sentence(notice) == words
