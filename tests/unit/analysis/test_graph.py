"""The merged paths of a measurement."""

from collections import Counter

import pytest
from colotrace_analysis.fate import fate
from colotrace_analysis.graph import By, Edge, Graph, Kind, Node, graph, work
from colotrace_proto.messages import Replies
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.analysis.written import ip, measured, row


def label(node: Node) -> str:
    """The letter of an address, the name of a colo, or `*`."""
    if node.kind is Kind.SILENT:
        return "*"
    return "T" if node.ip == ip("T") else chr(int(node.ip.split(".")[3])) if node.ip else node.label


def edges(drawn: Graph) -> list[str]:
    labels = [label(node) for node in drawn.nodes]
    return sorted(f"{labels[edge.near]} {labels[edge.far]}" for edge in drawn.edges)


def ways(drawn: Graph) -> list[str]:
    labels = [label(node) for node in drawn.nodes]
    return sorted(
        " ".join("/".join(labels[number] for number in step) for step in way.nodes)
        for way in drawn.paths
    )


def node(drawn: Graph, letter: str) -> Node:
    (found,) = [each for each in drawn.nodes if label(each) == letter]
    return found


def edge(drawn: Graph, near: str, far: str) -> Edge:
    ends = (node(drawn, near).id, node(drawn, far).id)
    (found,) = [each for each in drawn.edges if (each.near, each.far) == ends]
    return found


def test_paths_of_colos_meet_at_equal_addresses() -> None:
    drawn = graph(measured(row("a", "c", "T"), row("b", "c", "T", colo="sin01")))
    assert edges(drawn) == ["a c", "b c", "c T", "den01 a", "sin01 b"]
    assert node(drawn, "c").colos == ["den01", "sin01"]
    assert edge(drawn, "c", "T").colos == ["den01", "sin01"]
    assert edge(drawn, "c", "T").flows == 2
    assert edge(drawn, "a", "c").colos == ["den01"]


def test_nodes_are_numbered_by_their_place_in_order_of_distance() -> None:
    drawn = graph(measured(row("a", "c", "T"), row("b", "c", "T", colo="sin01")))
    assert [each.id for each in drawn.nodes] == list(range(6))
    assert [label(each) for each in drawn.nodes] == ["den01", "sin01", "a", "b", "c", "T"]


def test_order_of_rows_does_not_matter() -> None:
    den, sin = row("a", "c", "T"), row("b", "*", "T", colo="sin01")
    one, other = graph(measured(den, sin)), graph(measured(sin, den))
    assert one == other


def test_balanced_flows_are_never_crossed() -> None:
    drawn = graph(measured(row(flows=[["a", "b", "d", "T"], ["a", "c", "e", "T"]])))
    assert edges(drawn) == ["a b", "a c", "b d", "c e", "d T", "den01 a", "e T"]
    assert edge(drawn, "a", "b").share == 0.5
    assert edge(drawn, "b", "d").share == 1.0


def test_paths_that_share_a_hop_are_listed_as_taken() -> None:
    drawn = graph(measured(row(flows=[["a", "c", "d", "T"], ["b", "c", "e", "T"]] * 2)))
    assert ways(drawn) == ["den01 a c d T", "den01 b c e T"]
    assert [way.flows for way in drawn.paths] == [2, 2]


def test_silent_hop_is_a_node_by_its_neighbours() -> None:
    drawn = graph(
        measured(
            row("a", "*", "c", "T"),
            row("a", "*", "c", "T", colo="sin01"),
            row("b", "*", "c", "T", colo="lon01"),
        )
    )
    silent = [each for each in drawn.nodes if each.kind is Kind.SILENT]
    assert sorted(each.colos for each in silent) == [["den01", "sin01"], ["lon01"]]


def test_several_silent_hops_in_a_row_are_several_nodes() -> None:
    drawn = graph(measured(row("a", "*", "*", "c", "T")))
    assert ways(drawn) == ["den01 a * * c T"]
    assert [each.min_ttl for each in drawn.nodes if each.kind is Kind.SILENT] == [2, 3]


def test_silence_to_the_end_is_one_node() -> None:
    drawn = graph(measured(row("a", "*", "*", "*")))
    assert ways(drawn) == ["den01 a *"]
    tail = node(drawn, "*")
    assert (tail.min_ttl, tail.max_ttl, tail.packets_sent, tail.packets_lost) == (2, 4, 9, 9)


def test_unreached_target_is_a_node_without_edges() -> None:
    drawn = graph(measured(row("a", "*")))
    target = node(drawn, "T")
    assert (target.kind, target.flows, target.targets) == (Kind.TARGET, 0, ["example.com"])
    assert not [each for each in drawn.edges if each.far == target.id]


def test_packets_of_one_flow_that_differ_make_uncertain_edges() -> None:
    drawn = graph(measured(row("a", "b c b", "d", "T")))
    assert ways(drawn) == ["den01 a b/c d T"]
    assert not edge(drawn, "a", "b").certain
    assert edge(drawn, "d", "T").certain


def test_edge_that_another_flow_proves_is_certain() -> None:
    rows = [row("a", "b c b", "T"), row("a", "c", "T", colo="sin01")]
    for order in (rows, rows[::-1]):
        drawn = graph(measured(*order))
        assert edge(drawn, "a", "c").certain
        assert not edge(drawn, "a", "b").certain


def test_row_without_flows_is_combined() -> None:
    flows = [["a", "b", "T"], ["a", "c", "T"]]
    drawn = graph(measured(row(flows=flows, release_0_2=True)))
    assert ways(drawn) == ["den01 a b/c T"]


def test_node_has_rtt_and_loss() -> None:
    drawn = graph(measured(row("a=1 a=2 *", "T")))
    first = node(drawn, "a")
    assert (first.packet_count, first.packets_sent, first.packets_lost) == (2, 3, 1)
    assert (first.min_rtt_ms, first.mean_rtt_ms, first.max_rtt_ms) == (1.0, 1.5, 2.0)


def test_edge_has_by_how_much_the_rtt_rises() -> None:
    drawn = graph(measured(row("a=2 a=3 a=4", "b=12", "T=11")))
    assert edge(drawn, "den01", "a").added_ms == 2.0
    assert edge(drawn, "a", "b").added_ms == 10.0
    assert edge(drawn, "b", "T").added_ms == -1.0


def test_rise_of_an_edge_is_the_median_of_its_rows() -> None:
    """Not the difference of the nodes' means: others come from far away to `b`."""
    near = [row("a=1", f"b={rtt}", "T=99", colo=f"n{rtt}") for rtt in (3, 4, 8)]
    drawn = graph(measured(*near, row("c=90", "b=91", "T=99", colo="far")))
    assert edge(drawn, "a", "b").added_ms == 3.0
    assert edge(drawn, "c", "b").added_ms == 1.0


def test_rise_along_silence_is_where_the_next_hop_answers() -> None:
    drawn = graph(measured(row("a=1", "*", "T=9")))
    assert edge(drawn, "a", "*").added_ms is None
    assert edge(drawn, "*", "T").added_ms == 8.0


def test_rise_is_open_where_one_flow_met_several_addresses() -> None:
    drawn = graph(measured(row("a", "b c b", "d=9", "T=10")))
    assert edge(drawn, "a", "b").added_ms is edge(drawn, "b", "d").added_ms is None
    assert edge(drawn, "d", "T").added_ms == 1.0


def test_rise_within_a_group_is_the_groups() -> None:
    asns = {"a": "AS1", "b": "AS1", "c": "AS2"}
    drawn = graph(measured(row("a=1", "b=6", "c=8", "T=9"), asns=asns), by=By.ASN)
    first, second = (each for each in drawn.nodes if each.kind is Kind.AS)
    assert (first.added_ms, second.added_ms) == (5.0, None)
    (between,) = (each for each in drawn.edges if (each.near, each.far) == (first.id, second.id))
    assert between.added_ms == 2.0


def test_lost_packets_are_nobodys_where_several_answered() -> None:
    drawn = graph(measured(row("a b *", "T")))
    assert node(drawn, "a").packet_count == 1
    assert node(drawn, "a").packets_sent == node(drawn, "b").packets_lost == 0


def test_node_has_name_and_asn() -> None:
    drawn = graph(measured(row("a", "T"), asns={"a": "AS64500"}, names={"a": "r1.example.net"}))
    first = node(drawn, "a")
    assert (first.label, first.name, first.asn) == ("r1.example.net", "r1.example.net", "AS64500")
    assert node(drawn, "T").label == ip("T")


def test_by_asn_folds_the_hops_of_an_as_and_silence_within() -> None:
    asns = {"a": "AS1", "b": "AS1", "c": "AS2", "d": "AS2"}
    drawn = graph(measured(row("a", "*", "b", "c", "d", "*", "T"), asns=asns), by=By.ASN)
    assert ways(drawn) == ["den01 AS1 AS2 * T"]
    (first,) = [each for each in drawn.nodes if each.label == "AS1"]
    assert (first.kind, first.addresses, first.min_ttl, first.max_ttl) == (Kind.AS, 2, 1, 3)
    assert first.packet_count == 6


def test_by_asn_keeps_addresses_without_an_asn_and_the_target() -> None:
    drawn = graph(measured(row("a", "b", "T"), asns={"a": "AS1", "T": "AS1"}), by=By.ASN)
    assert ways(drawn) == ["den01 AS1 b T"]
    assert node(drawn, "T").asn == "AS1"


def test_by_city_makes_one_node_of_a_citys_colos() -> None:
    drawn = graph(measured(row("a", "T"), row("a", "T", colo="den02")), by=By.CITY)
    assert ways(drawn) == ["Denver, CO, US a T"]
    assert drawn.paths[0].colos == ["den01", "den02"]
    assert drawn.paths[0].flows == 2


def test_graph_of_one_target_leaves_out_the_others() -> None:
    both = measured(row("a", "T"), row("b", "T", target="192.0.2.1"))
    assert edges(graph(both, target="192.0.2.1")) == ["b T", "den01 b"]
    assert len(graph(both).paths) == 2
    with pytest.raises(LookupError):
        graph(both, target="other")


def test_rows_without_a_path_are_named() -> None:
    drawn = graph(measured(row("a", "T"), row(colo="sin01", code=1)))
    assert (drawn.rows, drawn.without_paths) == (1, ["sin01"])


def test_loop_is_drawn_as_it_was_met() -> None:
    drawn = graph(measured(row("a", "b", "a", "b", "*")))
    assert edges(drawn) == ["a b", "b *", "b a", "den01 a"]
    assert edge(drawn, "a", "b").flows == 1


def test_steps_give_the_same() -> None:
    of = measured(*(row("a", "b", "T", colo=f"den{n:02}") for n in range(300)))
    steps = work(of)
    assert len(list(steps)) > 2
    assert steps.result == graph(of)


def test_graph_may_have_what_bad_rows_share() -> None:
    slow = [row("a", "x", "T=90", colo=f"s{n}") for n in range(5)]
    fine = [row("a", "b", "T=20", colo=f"c{n}") for n in range(9)]
    of = measured(*slow, *fine)
    assert graph(of).fate is None
    assert work(of, with_fate=True).finish().fate == fate(of)
    assert fate(of).findings


hops = st.lists(st.sampled_from(["a", "b", "c", "*", "a b *", "b b a", "T"]), max_size=6)
flows_of_rows = st.lists(
    st.lists(hops.filter(bool), min_size=1, max_size=3), min_size=1, max_size=3
)


@given(flows_of_rows)
def test_edges_are_those_that_some_flow_met(rows: list[list[list[str]]]) -> None:
    """An oracle that looks at one flow and one pair of TTLs at a time."""
    traces = [row(flows=flows, colo=f"x{n}") for n, flows in enumerate(rows)]
    drawn = graph(measured(*traces))
    met: Counter[str] = Counter()
    for trace in traces:
        replies = trace.gathered.replies
        for number in range(len(trace.flows)):
            answered = _by_ttl(replies, number)
            end = next((ttl for ttl in sorted(answered) if "T" in answered[ttl]), 99)
            for ttl, here in answered.items():
                if ttl < end and ttl + 1 in answered:
                    met.update({f"{a} {b}" for a in here for b in answered[ttl + 1]})
    found = {
        f"{label(drawn.nodes[each.near])} {label(drawn.nodes[each.far])}"
        for each in drawn.edges
        if drawn.nodes[each.near].ip and drawn.nodes[each.far].ip
    }
    assert found == set(met)


def _by_ttl(replies: Replies, number: int) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    lines = zip(replies.ttl, replies.node, replies.flow, strict=True)
    for ttl, node_number, flow_number in lines:
        if flow_number == number:
            address = replies.nodes[node_number].address
            letter = "T" if address[0] == 203 else chr(address[3])
            found.setdefault(ttl, set()).add(letter)
    return found


@given(flows_of_rows)
def test_every_listed_path_follows_edges(rows: list[list[list[str]]]) -> None:
    drawn = graph(
        measured(*(row(flows=flows, colo=f"x{number}") for number, flows in enumerate(rows)))
    )
    pairs = {(each.near, each.far) for each in drawn.edges}
    used = set()
    for way in drawn.paths:
        for near, far in zip(way.nodes, way.nodes[1:], strict=False):
            between = {(one, other) for one in near for other in far}
            assert between <= pairs
            used |= between
    assert used == pairs


def test_target_asked_for_twice_counts_once() -> None:
    once = measured(row("a", "T"))
    summary = replace(once.summary, targets=("example.com", "example.com"))
    twice = replace(once, summary=summary, traces={0: once.traces[0], 1: once.traces[0]})
    assert graph(twice).edges == graph(once).edges
