"""From replies to the row: path ends, nodes, losses and statistics."""

import ipaddress
import math
import statistics

import msgspec
import pytest
from colotrace_proto import rows
from colotrace_proto.messages import Edge, Node, NodeKind, PacketType, Replies
from colotrace_proto.tally import (
    Batch,
    Gathered,
    Known,
    colo_rows,
    has_own_ends,
    merged,
    path_end,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

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


def test_statistics_equal_the_contracts_example() -> None:
    """To the last digit; the deviation is that of a sample."""
    node = router(1)
    row = row_of(gathered((1, 14_000, node), (1, 15_000, node), (1, 34_000, node), sent=(3,)))
    (found,) = row.hops[0].nodes
    assert (found.min_rtt_ms, found.mean_rtt_ms, found.max_rtt_ms) == (0.014, 0.021, 0.034)
    assert found.std_dev_rtt_ms == 0.011269427669584647


def test_deviation_of_one_answer_is_zero() -> None:
    """0, not NaN."""
    row = row_of(gathered((1, 5 * MS, router(1))))
    node = row.hops[0].nodes[0]
    assert (node.min_rtt_ms, node.std_dev_rtt_ms, node.packet_count) == (5.0, 0.0, 1)


RTTS = st.lists(st.integers(0, 60 * 10**9), min_size=1, max_size=30)


@given(st.lists(RTTS, min_size=1, max_size=4))
def test_statistics_equal_those_of_the_standard_library(columns: list[list[int]]) -> None:
    """For each hop, in milliseconds: finite, with the mean between minimum and maximum."""
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


def test_silent_hop_has_one_node_named_no_response() -> None:
    """It has no times."""
    row = row_of(gathered((2, MS, router(2))))
    assert msgspec.to_builtins(row.hops[0]) == {
        "packets_ttl": 1,
        "packets_sent": 3,
        "packets_lost": 3,
        "nodes": [{"asn": "", "ip": "", "name": "NO RESPONSE", "packet_count": 0}],
    }


def test_partly_answered_hop_has_no_node_for_silence() -> None:
    """`packets_lost` counts the others."""
    (hop,) = row_of(gathered((1, MS, router(1)), sent=(3,))).hops
    assert (hop.packets_sent, hop.packets_lost, len(hop.nodes)) == (3, 2, 1)


def test_unsent_probes_are_neither_sent_nor_lost() -> None:
    """A failure of the host is no loss in the network."""
    row = row_of(gathered((1, MS, router(1)), (3, MS, Node(TARGET, REACHED)), sent=(1, 0, 1)))
    assert [(hop.packets_sent, hop.packets_lost) for hop in row.hops] == [(1, 0), (0, 0), (1, 0)]
    assert row.hops[1].nodes == [rows.SILENCE]


def test_nodes_are_sorted_by_packets_then_by_address() -> None:
    """Addresses are compared as numbers: 10 comes after 9."""
    busy, nine, ten = router(1, 200), router(1, 9), router(1, 10)
    lines = [(1, MS, ten), (1, MS, busy), (1, MS, nine), (1, MS, busy)]
    (hop,) = row_of(gathered(*lines, sent=(4,))).hops
    assert [node.ip for node in hop.nodes] == ["198.18.1.200", "198.18.1.9", "198.18.1.10"]
    assert [node.packet_count for node in hop.nodes] == [2, 1, 1]


def test_address_with_and_without_a_label_is_two_nodes() -> None:
    """An address with equal labels is one node, in whichever frames it came."""
    plain, refusing = router(1), Node(router(1).address, BARRIER, ("!X",))
    first = gathered((1, MS, plain), (1, MS, refusing), sent=(3,))
    again = Replies((1,), (3 * MS,), (0,), (plain,))
    both = replace(first, replies=merged((first.replies, again)))
    (hop,) = row_of(both).hops
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
def test_end_of_a_path(
    answers: list[tuple[int, NodeKind]], sent: tuple[int, ...], end: int
) -> None:
    """No hop after it."""
    lines = [(ttl, MS, Node(bytes([198, 18, ttl, 1]), kind)) for ttl, kind in answers]
    given = gathered(*lines, sent=sent)
    assert path_end(given) == end
    assert [hop.packets_ttl for hop in row_of(given).hops] == list(range(1, end + 1))


def test_refusals_of_one_router_end_the_path_at_the_lowest_ttl() -> None:
    """Its refusals at higher TTLs do not show that it forwards."""
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
def test_end_of_a_path_of_several_flows(answers: list[tuple[int, NodeKind]], end: int) -> None:
    """Each flow is reported up to its own end; the longest path decides."""
    lines = [(ttl, MS, Node(bytes([198, 18, ttl, kind]), kind)) for ttl, kind in answers]
    given = replace(gathered(*lines, sent=(3,) * 5), own_ends=True)
    assert path_end(given) == end


def test_multipath_and_gre_icmp_jobs_have_several_flows() -> None:
    """No other jobs have."""
    assert has_own_ends(PacketType.UDP, multipath=True)
    assert has_own_ends(PacketType.GRE_ICMP, multipath=False)
    assert not has_own_ends(PacketType.GRE, multipath=False)


def test_links_are_in_the_row_only_if_requested() -> None:
    """A row that has none has an empty list."""
    plain = gathered((1, MS, router(1)))
    assert "links" not in msgspec.to_builtins(row_of(plain))
    assert row_of(replace(plain, links=())).links == []
    links = (Edge(1, router(1).address, router(2, 1).address, 7),)
    (link,) = msgspec.to_builtins(row_of(replace(plain, links=links)))["links"]
    assert link == {"ttl": 1, "from": "198.18.1.1", "to": "198.18.2.1", "flows": 7}


def test_summary_counts_answers_of_the_target_up_to_the_end_of_the_path() -> None:
    """Answers to probes beyond its TTL do not count; both sets of keys have the same values."""
    target = Node(TARGET, REACHED)
    lines = [(2, 10 * MS, target), (2, 30 * MS, target), (3, 99 * MS, target)]
    summary = msgspec.to_builtins(row_of(gathered(*lines)).target_summary)
    assert (summary["ip"], summary["packet_count"]) == ("203.0.113.9", 2)
    for name in ("min", "mean", "max", "std_dev"):
        assert summary[f"{name}_rtt_ms"] == summary[f"{name}_latency_ms"]
    assert (summary["min_rtt_ms"], summary["mean_rtt_ms"], summary["max_rtt_ms"]) == (10, 20, 30)


def test_answer_from_another_address_of_the_target_counts() -> None:
    """The node has the address that answered, the summary the requested one."""
    row = row_of(gathered((1, MS, Node(bytes([198, 51, 100, 99]), REACHED))))
    assert row.hops[0].nodes[0].ip == "198.51.100.99"
    assert (row.target_summary.ip, row.target_summary.packet_count) == ("203.0.113.9", 1)


def test_summary_of_an_unreached_target_has_no_times() -> None:
    """It has the address, unless the name did not resolve."""
    keys = {"asn", "ip", "name", "packet_count"}
    for address, ip in ((TARGET, "203.0.113.9"), (b"", "")):
        row = row_of(gathered(sent=(), address=address, code=3))
        summary = msgspec.to_builtins(row.target_summary)
        assert summary.keys() == keys
        assert (summary["ip"], summary["packet_count"]) == (ip, 0)
        assert row.error == "Could not gather traceroute data: Code 3"


def test_unknown_name_is_the_address_and_unknown_asn_a_star() -> None:
    """Known ones are shown."""
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


def test_only_addresses_in_the_rows_are_looked_up() -> None:
    """Not those beyond the target."""
    given = gathered((1, MS, router(1)), (2, MS, Node(TARGET, REACHED)), (3, MS, router(3)))
    assert Batch([given]).addresses() == {"198.18.1.1", "203.0.113.9"}
    assert Batch([gathered(address=b"")]).addresses() == set()


def test_rows_are_separate_and_in_order() -> None:
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
def test_packets_of_any_row_add_up(lines: list[Line], sent: list[int]) -> None:
    """Hops are contiguous, no number is negative, and each packet is answered or lost."""
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


def test_merged_tables_keep_lines_and_nodes() -> None:
    """Lines keep their order and their node."""
    first = Replies((1, 2), (10, 20), (0, 1), (router(1), router(2)))
    second = Replies((3,), (30,), (0,), (router(3),))
    both = merged((first, second))
    assert both.ttl == (1, 2, 3)
    assert [both.nodes[n] for n in both.node] == [router(1), router(2), router(3)]
    assert merged((Replies(), second)) == second
    assert merged((second, Replies())) == second


def test_merged_tables_keep_ordinals_and_flows() -> None:
    """Indexes of flows count over all frames of a job, so they stay as they are."""
    first = Replies((1,), (10,), (0,), (router(1),), (4,), (0,))
    second = Replies((2,), (20,), (0,), (router(2),), (7,), (1,))
    both = merged((first, Replies(), second))
    assert (both.ordinal, both.flow) == ((4, 7), (0, 1))


def test_merged_tables_have_no_ordinals_if_one_lacks_them() -> None:
    """A column is complete or empty."""
    first = Replies((1,), (10,), (0,), (router(1),))
    second = Replies((2,), (20,), (0,), (router(2),), (7,), (1,))
    both = merged((first, second))
    assert (both.ordinal, both.flow) == ((), ())
