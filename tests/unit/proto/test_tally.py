"""From replies to the row: path ends, nodes, losses and statistics."""

import dataclasses
import ipaddress
import math
import statistics

import msgspec
import pytest
from colotrace_proto import rows
from colotrace_proto.messages import Link, Node, NodeKind, PacketType, Replies
from colotrace_proto.tally import (
    Gathered,
    Known,
    addresses,
    colo_rows,
    has_own_ends,
    merge,
    path_end,
)
from hypothesis import given
from hypothesis import strategies as st

DENVER = rows.Colo(city="Denver, CO, US", name="den01")
TARGET = bytes([203, 0, 113, 9])
MS = 1_000_000
TRANSIT, REACHED, BARRIER = NodeKind.TRANSIT, NodeKind.TARGET, NodeKind.BARRIER

Line = tuple[int, int, Node]
"""TTL, RTT in nanoseconds, who answered."""


def router(ttl: int, number: int = 1) -> Node:
    return Node(bytes([198, 18, ttl, number]))


def gathered(
    *lines: Line, sent: tuple[int, ...] = (3, 3, 3), address: bytes = TARGET, code: int = 0
) -> Gathered:
    nodes = list(dict.fromkeys(node for _, _, node in lines))
    replies = Replies(
        ttl=tuple(ttl for ttl, _, _ in lines),
        rtt_ns=tuple(rtt for _, rtt, _ in lines),
        node=tuple(nodes.index(node) for _, _, node in lines),
        nodes=tuple(nodes),
    )
    return Gathered("www.example", DENVER, address, sent, replies, 12_345_678, code)


def row_of(given: Gathered, **known: dict[str, str]) -> rows.ColoRow:
    (row,) = colo_rows([given], Known(known.get("names", {}), known.get("asns", {})))
    return row


def test_the_known_answer() -> None:
    """The contract's numbers to the last digit: two passes, the sample's deviation."""
    node = router(1)
    row = row_of(gathered((1, 14_000, node), (1, 15_000, node), (1, 34_000, node), sent=(3,)))
    (found,) = row.hops[0].nodes
    assert (found.min_rtt_ms, found.mean_rtt_ms, found.max_rtt_ms) == (0.014, 0.021, 0.034)
    assert found.std_dev_rtt_ms == 0.011269427669584647


def test_one_answer_has_no_deviation() -> None:
    """0, not NaN."""
    row = row_of(gathered((1, 5 * MS, router(1))))
    node = row.hops[0].nodes[0]
    assert (node.min_rtt_ms, node.std_dev_rtt_ms, node.packet_count) == (5.0, 0.0, 1)


RTTS = st.lists(st.integers(0, 60 * 10**9), min_size=1, max_size=30)


@given(st.lists(RTTS, min_size=1, max_size=4))
def test_the_statistics_are_pythons(columns: list[list[int]]) -> None:
    """Of each hop by itself, in milliseconds; finite, and the mean within its bounds."""
    lines = [(ttl, rtt, router(ttl)) for ttl, rtts in enumerate(columns, 1) for rtt in rtts]
    lines = sorted(lines, key=lambda line: line[1])
    row = row_of(gathered(*lines, sent=tuple(len(rtts) for rtts in columns)))
    for hop, rtts in zip(row.hops, columns, strict=True):
        (node,) = hop.nodes
        times = [rtt / MS for rtt in rtts]
        assert (node.min_rtt_ms, node.max_rtt_ms) == (min(times), max(times))
        assert node.mean_rtt_ms == pytest.approx(statistics.fmean(times), rel=1e-12, abs=1e-12)
        deviation = statistics.stdev(times) if len(times) > 1 else 0.0
        assert node.std_dev_rtt_ms == pytest.approx(deviation, rel=1e-9, abs=1e-9)
        assert min(times) <= node.mean_rtt_ms <= max(times)
        assert node.std_dev_rtt_ms >= 0
        assert math.isfinite(node.std_dev_rtt_ms)


def test_a_hop_where_nothing_answered_says_so() -> None:
    """One node by that name, without times."""
    row = row_of(gathered((2, MS, router(2))))
    assert msgspec.to_builtins(row.hops[0]) == {
        "packets_ttl": 1,
        "packets_sent": 3,
        "packets_lost": 3,
        "nodes": [{"asn": "", "ip": "", "name": "NO RESPONSE", "packet_count": 0}],
    }


def test_a_partly_answered_hop_has_no_such_node() -> None:
    """`packets_lost` tells."""
    (hop,) = row_of(gathered((1, MS, router(1)), sent=(3,))).hops
    assert (hop.packets_sent, hop.packets_lost, len(hop.nodes)) == (3, 2, 1)


def test_a_ttl_from_which_nothing_left_is_neither_sent_nor_lost() -> None:
    """The host's own failure is not the network's."""
    row = row_of(gathered((1, MS, router(1)), (3, MS, Node(TARGET, REACHED)), sent=(1, 0, 1)))
    assert [(hop.packets_sent, hop.packets_lost) for hop in row.hops] == [(1, 0), (0, 0), (1, 0)]
    assert row.hops[1].nodes == [rows.SILENCE]


def test_equal_routers_come_by_packets_then_by_address() -> None:
    """As numbers: 10 comes after 9."""
    busy, nine, ten = router(1, 200), router(1, 9), router(1, 10)
    lines = [(1, MS, ten), (1, MS, busy), (1, MS, nine), (1, MS, busy)]
    (hop,) = row_of(gathered(*lines, sent=(4,))).hops
    assert [node.ip for node in hop.nodes] == ["198.18.1.200", "198.18.1.9", "198.18.1.10"]
    assert [node.packet_count for node in hop.nodes] == [2, 1, 1]


def test_one_address_with_and_without_a_label_is_two_nodes() -> None:
    """And the same whatever frame it came in is one."""
    plain, refusing = router(1), Node(router(1).address, BARRIER, ("!X",))
    first = gathered((1, MS, plain), (1, MS, refusing), sent=(3,))
    again = Replies((1,), (3 * MS,), (0,), (plain,))
    merged = dataclasses.replace(first, replies=merge(first.replies, again))
    (hop,) = row_of(merged).hops
    assert [(node.packet_count, node.labels) for node in hop.nodes] == [
        (2, msgspec.UNSET),
        (1, ["!X"]),
    ]


@pytest.mark.parametrize(
    ("answers", "sent", "end"),
    [
        # The lowest TTL that the target answered, before and whatever else there is.
        ([(2, REACHED), (3, REACHED)], (3, 3, 3), 2),
        ([(1, BARRIER), (3, REACHED)], (3, 3, 3), 3),
        # Else a refusal beyond which no other router answered.
        ([(2, BARRIER), (1, TRANSIT)], (3, 3, 3), 2),
        ([(2, BARRIER), (3, BARRIER), (1, TRANSIT)], (3, 3, 3), 3),
        ([(2, BARRIER), (2, TRANSIT)], (3, 3, 3), 2),
        # Routers beyond the refusal answered: as if there had been none.
        ([(1, BARRIER), (2, TRANSIT)], (3, 3, 3), 3),
        # Else the last that was probed, answered or not.
        ([(1, TRANSIT)], (3, 3, 3), 3),
        ([(1, TRANSIT)], (3, 3, 0), 2),
        ([], (3, 3), 2),
        ([], (0, 0), 0),
        ([], (), 0),
    ],
)
def test_where_the_path_ends(
    answers: list[tuple[int, NodeKind]], sent: tuple[int, ...], end: int
) -> None:
    """No hop after it."""
    lines = [(ttl, MS, Node(bytes([198, 18, ttl, 1]), kind)) for ttl, kind in answers]
    given = gathered(*lines, sent=sent)
    assert path_end(given) == end
    assert [hop.packets_ttl for hop in row_of(given).hops] == list(range(1, end + 1))


def test_a_router_that_refuses_at_several_ttls_ends_the_path_at_the_lowest() -> None:
    """Its refusals of probes with higher TTLs are no answers from further on."""
    one = Node(router(2).address, BARRIER)
    assert path_end(gathered((4, MS, one), (2, MS, one), (3, MS, one))) == 2
    assert path_end(gathered((2, MS, one), (3, MS, router(3)), (4, MS, one), sent=(1,) * 5)) == 4


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        # All flows are of one length.
        ([(1, TRANSIT), (2, REACHED)], 2),
        # The target's answer at its TTL is missing in one flow: no path is longer for that.
        ([(1, TRANSIT), (2, REACHED), (3, REACHED)], 2),
        # A router where another flow has met the target: a longer way round.
        ([(1, TRANSIT), (2, REACHED), (2, TRANSIT), (3, REACHED)], 3),
        ([(1, TRANSIT), (2, REACHED), (2, TRANSIT), (3, TRANSIT), (5, REACHED)], 5),
        # It was not seen to arrive.
        ([(1, TRANSIT), (2, REACHED), (3, TRANSIT)], 3),
        # One way is barred, the other leads on.
        ([(1, TRANSIT), (2, BARRIER), (2, TRANSIT), (3, REACHED)], 3),
        ([(1, TRANSIT), (2, BARRIER), (3, TRANSIT)], 5),
        ([(1, TRANSIT), (2, BARRIER)], 2),
        ([(1, TRANSIT)], 5),
    ],
)
def test_where_several_flows_end(answers: list[tuple[int, NodeKind]], end: int) -> None:
    """At the furthest that one of them shows, each having been told of up to its own end."""
    lines = [(ttl, MS, Node(bytes([198, 18, ttl, kind]), kind)) for ttl, kind in answers]
    given = dataclasses.replace(gathered(*lines, sent=(3,) * 5), own_ends=True)
    assert path_end(given) == end


def test_which_jobs_have_several_flows() -> None:
    """Those that were asked for many, and those of two types."""
    assert has_own_ends(PacketType.UDP, multipath=True)
    assert has_own_ends(PacketType.GRE_ICMP, multipath=False)
    assert not has_own_ends(PacketType.GRE, multipath=False)


def test_links_are_in_the_row_only_where_they_were_asked_for() -> None:
    """In the API's words; none at all is an empty list."""
    plain = gathered((1, MS, router(1)))
    assert "links" not in msgspec.to_builtins(row_of(plain))
    assert row_of(dataclasses.replace(plain, links=())).links == []
    links = (Link(1, router(1).address, router(2, 1).address, 7),)
    (link,) = msgspec.to_builtins(row_of(dataclasses.replace(plain, links=links)))["links"]
    assert link == {"ttl": 1, "from": "198.18.1.1", "to": "198.18.2.1", "flows": 7}


def test_the_summary_is_the_targets_over_its_path() -> None:
    """Answers to probes beyond its TTL do not count; both families of keys say the same."""
    target = Node(TARGET, REACHED)
    lines = [(2, 10 * MS, target), (2, 30 * MS, target), (3, 99 * MS, target)]
    summary = msgspec.to_builtins(row_of(gathered(*lines)).target_summary)
    assert (summary["ip"], summary["packet_count"]) == ("203.0.113.9", 2)
    for name in ("min", "mean", "max", "std_dev"):
        assert summary[f"{name}_rtt_ms"] == summary[f"{name}_latency_ms"]
    assert (summary["min_rtt_ms"], summary["mean_rtt_ms"], summary["max_rtt_ms"]) == (10, 20, 30)


def test_a_targets_other_address_answers_for_it() -> None:
    """The node shows who spoke, the summary whom was asked for."""
    row = row_of(gathered((1, MS, Node(bytes([198, 51, 100, 99]), REACHED))))
    assert row.hops[0].nodes[0].ip == "198.51.100.99"
    assert (row.target_summary.ip, row.target_summary.packet_count) == ("203.0.113.9", 1)


def test_an_unreached_target_has_no_times() -> None:
    """But its address; a name that never resolved has not even that."""
    keys = {"asn", "ip", "name", "packet_count"}
    for address, ip in ((TARGET, "203.0.113.9"), (b"", "")):
        row = row_of(gathered(sent=(), address=address, code=3))
        summary = msgspec.to_builtins(row.target_summary)
        assert summary.keys() == keys
        assert (summary["ip"], summary["packet_count"]) == (ip, 0)
        assert row.error == "Could not gather traceroute data: Code 3"


def test_names_and_asns_are_put_where_they_are_known() -> None:
    """Else the address itself, and a star."""
    row = row_of(
        gathered((1, MS, router(1)), (2, MS, Node(TARGET, REACHED))),
        names={"198.18.1.1": "core.example"},
        asns={"203.0.113.9": "AS64500"},
    )
    assert [(node.name, node.asn) for hop in row.hops for node in hop.nodes] == [
        ("core.example", "*"),
        ("203.0.113.9", "AS64500"),
    ]
    assert (row.target_summary.name, row.target_summary.asn) == ("203.0.113.9", "AS64500")


def test_only_what_is_shown_is_asked_about() -> None:
    """Nobody beyond the target."""
    given = gathered((1, MS, router(1)), (2, MS, Node(TARGET, REACHED)), (3, MS, router(3)))
    assert addresses([given]) == {"198.18.1.1", "203.0.113.9"}
    assert addresses([gathered(address=b"")]) == set()


def test_many_rows_are_tallied_apart_and_in_order() -> None:
    """Equal addresses at equal TTLs in different rows do not mix."""
    given = [gathered((1, n * MS, router(1)), sent=(1,)) for n in range(1, 40)]
    found = colo_rows(given)
    assert [row.hops[0].nodes[0].mean_rtt_ms for row in found] == list(range(1, 40))
    assert colo_rows([]) == []


@given(
    st.lists(
        st.tuples(
            st.integers(1, 5),
            st.integers(0, 10**9),
            st.builds(
                Node,
                st.integers(0, 3).map(lambda n: bytes([198, 18, 0, n])),
                st.sampled_from(NodeKind),
                st.sampled_from([(), ("!X",)]),
            ),
        ),
        max_size=30,
    ),
    st.lists(st.integers(0, 6), max_size=5),
)
def test_any_gathering_makes_a_row_that_adds_up(lines: list[Line], sent: list[int]) -> None:
    """Contiguous hops; nothing negative, nothing null; every packet is somewhere."""
    row = row_of(gathered(*lines, sent=tuple(sent)))
    for ttl, hop in enumerate(row.hops, 1):
        assert hop.packets_ttl == ttl
        assert hop.packets_sent == hop.packets_lost + sum(node.packet_count for node in hop.nodes)
        assert hop.packets_lost >= 0
        assert (rows.SILENCE in hop.nodes) == (hop.nodes == [rows.SILENCE])
        for node in hop.nodes:
            assert node is rows.SILENCE or ipaddress.ip_address(node.ip)
    text = msgspec.json.encode(row)
    assert b"null" not in text
    assert b"NaN" not in text


def test_merging_keeps_the_lines_and_their_nodes() -> None:
    """In order, each with whoever answered it."""
    first = Replies((1, 2), (10, 20), (0, 1), (router(1), router(2)))
    second = Replies((3,), (30,), (0,), (router(3),))
    both = merge(first, second)
    assert both.ttl == (1, 2, 3)
    assert [both.nodes[n] for n in both.node] == [router(1), router(2), router(3)]
    assert merge(Replies(), second) == second
    assert merge(second, Replies()) == second
