"""Scenario files: what is refused, and what their defaults mean."""

import pytest

from scenario.addresses import assign
from scenario.expectation import expected
from scenario.kinds import ProbeType, Protocol
from scenario.load import CaseError, cases, parse, runs

_LEAST = 'shows = "x"\n[expect]\nhops = ["target"]\n'


def test_every_case_of_the_suite_loads_and_has_an_expectation() -> None:
    """Each file is valid in each of its families."""
    assert len(cases()) >= 75
    for run in runs():
        row = expected(run.case, family=run.family)
        assert [hop.ttl for hop in row.hops] == list(range(1, len(row.hops) + 1))


def test_runs_have_distinct_names() -> None:
    """So that a failing run is found by its name."""
    names = [str(run) for run in runs()]
    assert len(set(names)) == len(names)
    assert "plain-v6-tcp" in names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_LEAST.replace("[expect]", "[expect]\nreach = true"), "unknown field `reach`"),
        ("hops = [{ rtt = 3 }]\n" + _LEAST, "unknown field `rtt` - at `$.hops[0]`"),
        ('hops = [{ refuse = "no" }]\n' + _LEAST, "Invalid enum value 'no'"),
        (_LEAST.replace("target", "2"), "no node is called '2'"),
        (_LEAST + "[target]\naddress4 = 'nowhere'", "nowhere"),
        ('hops = [{ refuse = "precedence-cutoff" }]\n' + _LEAST, "IPv6 has no precedence-cutoff"),
        (_LEAST + "[trace]\nmax_ttl = 1\n[x]", "unknown field `x`"),
        ("hops = [{ follows = 1 }]\n" + _LEAST, "can only follow an earlier one"),
        ("shows = ", "Invalid value"),
    ],
)
def test_invalid_case_is_refused_with_the_reason(text: str, words: str) -> None:
    """The reason names the case and the fault."""
    with pytest.raises(CaseError) as caught:
        parse(text, name="wrong")
    assert words in str(caught.value)
    assert str(caught.value).startswith("wrong: ")


def test_addresses_are_given_or_derived_from_the_ttl() -> None:
    """In both families; several at one TTL, and aliases of a node."""
    case = parse(
        'hops = [{ width = 2 }, { address = "1.2" }, { address6 = "2001:DB8::0:7" }]\n' + _LEAST,
        name="addresses",
    )
    four, six = assign(case, family=4), assign(case, family=6)
    assert four.named("1") == ("198.18.1.1", "198.18.1.2")
    assert four.named("2") == ("198.18.1.2",)
    assert four.named("3") == ("198.18.3.1",)
    assert six.named("1.2") == ("2001:db8:1::2",)
    assert six.named("3") == ("2001:db8::7",)


def test_missing_expectations_are_derived_from_the_network() -> None:
    """Sent, lost and the bounds of RTTs have defaults."""
    case = parse(
        """
        shows = "x"
        hops = [{ rtt_ms = 10, jitter_ms = [1, 3], delays_ms = { 0 = 20, 1 = 2000 } }]
        [expect]
        hops = [{ nodes = [{ from = "1", packets = [1, 2] }] }, "-"]
        reached = false
        """,
        name="defaults",
    )
    first, second = expected(case, family=4).hops
    assert (first.sent, first.lost) == ((3, 3), (1, 2))
    assert first.nodes[0].rtt_ms == (11, 33)
    assert (second.nodes, second.lost) == ((), (3, 3))


def test_row_is_checked_against_the_whole_expectation() -> None:
    """A right row has no fault, and each fault of another is named."""
    case = parse(
        'shows = "x"\nhops = [{ rtt_ms = 5 }]\n[expect]\nhops = ["1", "target"]\n', name="row"
    )
    wanted = expected(case, family=4)
    rtts = {"min_rtt_ms": 5.0, "mean_rtt_ms": 5.0, "max_rtt_ms": 5.0}
    far = dict.fromkeys(rtts, 50.0)
    counts = {"packets_sent": 3, "packets_lost": 0}
    router = {"ip": "198.18.1.1", "packet_count": 3, **rtts}
    target = {"ip": "203.0.113.9", "packet_count": 3, **far}
    hops = [
        {"packets_ttl": 1, **counts, "nodes": [router]},
        {"packets_ttl": 2, **counts, "nodes": [target]},
    ]
    right = {
        "error": "",
        "traceroute_time_ms": 60,
        "hops": hops,
        "target_summary": {"ip": "203.0.113.9", "packet_count": 3},
    }
    assert wanted.faults(right, slack_ms=0) == []
    wrong = {
        **right,
        "error": "Could not gather traceroute data: Code 4",
        "target_summary": {"ip": "203.0.113.8", "packet_count": 0},
        "hops": [
            {"packets_ttl": 1, **counts, "nodes": [{**router, "max_rtt_ms": 5.1}]},
            {"packets_ttl": 2, "packets_sent": 2, "packets_lost": 1, "nodes": [router]},
            hops[1],
        ],
    }
    faults = "\n".join(wanted.faults(wrong, slack_ms=0.05))
    for words in (
        "Code 4",
        "target 203.0.113.8",
        "0 answers of the target",
        "hops [1, 2, 2]",
        "TTL 1: max_rtt_ms 5.1",
        "TTL 2: packets_sent 2",
        "TTL 2: packets_lost 1",
        "TTL 2: node 198.18.1.1, expected 203.0.113.9",
    ):
        assert words in faults


def test_packet_types_are_those_of_the_api() -> None:
    """What the API calls them."""
    assert [str(word) for word in ProbeType] == ["icmp", "udp", "tcp", "gre", "gre+icmp"]
    assert ProbeType.GRE_ICMP.protocols == (Protocol.GRE, Protocol.ICMP)
