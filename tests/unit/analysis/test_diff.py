"""The differences of two measurements."""

import pytest
from colotrace_analysis.compare import bounds
from colotrace_analysis.diff import ClusterKind, Unlike, diff, work
from colotrace_proto.measured import Options, Trace
from colotrace_proto.messages import PacketType
from msgspec.structs import replace
from recorded import udp_flow
from unit.analysis.differences import PATH, between, hops, moved, sentence
from unit.analysis.written import ip, measured, row


def test_equal_measurements_do_not_differ() -> None:
    changes = between(row(*PATH), row(*PATH))
    assert changes.empty
    assert changes.in_words == ["1 row compared, with the paths of 1: no difference"]


def test_ids_are_those_of_the_measurements() -> None:
    changes = between(row(*PATH), row(*PATH))
    assert (changes.before[-1], changes.after[-1]) == ("0", "1")


def test_other_address_at_one_ttl_is_a_change() -> None:
    changes = between(row("a", "b", "T"), row("a", "x", "T"))
    assert (hops(changes, "appeared"), hops(changes, "went")) == (["2x"], ["2b"])
    assert sentence(changes) == (
        f"den01 now passes {ip('x')} instead of {ip('b')} at hop 2 on the way to example.com"
    )


def test_names_are_told_where_known() -> None:
    names = {"x": "new.example.net"}
    changes = diff(measured(row("a", "b", "T")), measured(row("a", "x", "T"), names=names))
    assert "now passes new.example.net instead of" in sentence(changes)
    assert changes.changes[0].appeared[0].name == "new.example.net"


def test_silence_never_differs() -> None:
    for before, after in (
        (row("a", "b", "T"), row("a", "*", "T")),
        (row("a", "*", "T"), row("a", "b", "T")),
        (row("a", "b", "*"), row("a", "*", "*")),
    ):
        changes = between(before, after)
        assert changes.empty
        assert changes.paths == 1


def test_new_hop_moves_those_behind_it() -> None:
    changes = between(row("a", "b", "T"), row("a", "x", "b", "T"))
    assert (hops(changes, "appeared"), hops(changes, "went")) == (["2x"], [])
    assert moved(changes) == [(ip("b"), 2, 3), (ip("T"), 3, 4)]


def test_longer_path_without_new_address_is_a_move() -> None:
    changes = between(row("a", "b", "T"), row("a", "*", "b", "T"))
    assert moved(changes) == [(ip("b"), 2, 3), (ip("T"), 3, 4)]
    assert sentence(changes) == "den01: the path to example.com is 1 hop longer"


def test_moved_hop_before_a_target_that_stays() -> None:
    changes = between(row("a", "*", "b", "c", "T"), row("a", "b", "*", "c", "T"))
    assert moved(changes) == [(ip("b"), 3, 2)]
    assert sentence(changes) == (
        f"den01: {ip('b')} moved from hop 3 to hop 2 on the way to example.com"
    )


@pytest.mark.parametrize(
    "other",
    [
        row("a", "x", "T", fields=[udp_flow(1)]),
        row("a", "x", "T", source="198.51.100.2"),
    ],
)
def test_other_header_fields_make_paths_incomparable_and_not_changed(other: Trace) -> None:
    changes = between(row("a", "b", "T"), other)
    assert changes.empty
    assert (changes.rows, changes.paths) == (1, 0)
    (why,) = changes.not_compared
    assert (why.why, len(why.rows)) == (Unlike.OTHER_FLOW, 1)
    assert changes.in_words[-1] == (
        "paths of 1 row not compared: the probes had other header fields"
    )


def test_rows_without_flows_are_not_comparable() -> None:
    changes = between(row("a", "b", "T"), row("a", "x", "T", release_0_2=True))
    assert changes.empty
    assert [each.why for each in changes.not_compared] == [Unlike.NO_FLOWS]


def test_packets_of_one_flow_that_differ_overlap() -> None:
    """Balanced packet by packet: one address in common is enough."""
    assert between(row("a", "b b c", "T"), row("a", "c c d", "T")).empty
    assert not between(row("a", "b b c", "T"), row("a", "d d e", "T")).empty


def balanced(*flows: list[str], numbers: list[int] | None = None) -> Trace:
    fields = None if numbers is None else [udp_flow(number) for number in numbers]
    return row(flows=flows, multipath=True, fields=fields)


B, C, X = ["a", "b", "T"], ["a", "c", "T"], ["a", "x", "T"]


def test_flow_on_another_known_branch_is_no_change() -> None:
    assert between(balanced(B, C), balanced(C, B)).empty
    assert between(balanced(B, C), row(*C)).empty
    assert between(row(*B), balanced(C, B)).empty


def test_flow_on_a_known_branch_of_another_length_is_no_change() -> None:
    short, long = ["a", "m", "T"], ["a", "b", "m", "T"]
    assert between(balanced(short, long), balanced(long, short)).empty
    assert not between(row(flows=[short, long]), row(flows=[long, short])).empty


def test_without_multipath_another_branch_is_a_change() -> None:
    assert not between(row(flows=[B, C]), row(flows=[C, B])).empty


def test_flow_outside_of_the_known_branches_is_a_change() -> None:
    changes = between(balanced(B, C), balanced(X, C))
    assert hops(changes, "appeared") == ["2x"]
    assert hops(between(balanced(B, C), row(*X)), "appeared") == ["2x"]


def test_branch_that_lost_all_its_flows_is_a_change() -> None:
    changes = between(balanced(*[B, C] * 8), balanced(*[B] * 16))
    assert (hops(changes, "appeared"), hops(changes, "went")) == ([], ["2c"])
    assert sentence(changes).startswith(f"den01 no longer passes {ip('c')} at hop 2")


def test_branch_of_few_flows_may_be_missed() -> None:
    assert between(balanced(*[B] * 15, C), balanced(*[B] * 16)).empty


def test_branches_of_other_flows_are_compared_by_their_number() -> None:
    later = list(range(100, 116))
    changes = between(balanced(*[B, C] * 8), balanced(*[B, X] * 8, numbers=later))
    assert (hops(changes, "appeared"), hops(changes, "went")) == (["2x"], ["2c"])
    assert between(balanced(*[B, C] * 8), balanced(*[C, B] * 8, numbers=later)).empty


ASES = {"a": "AS1", "b": "AS64501", "c": "AS64501", "x": "AS64502", "y": "AS64502"}


def test_change_of_as_is_told_with_its_hops() -> None:
    changes = between(row("a", "b", "c", "T"), row("a", "x", "y", "T"), **ASES)
    (cluster,) = changes.clusters
    assert (cluster.left_asns, cluster.joined_asns) == (["AS64501"], ["AS64502"])
    assert (cluster.min_ttl, cluster.max_ttl) == (2, 3)
    assert cluster.in_words == (
        "den01 moved from AS64501 to AS64502 at hop 2\N{EN DASH}3 on the way to example.com"
    )


def test_other_router_of_the_same_as_is_no_change_of_as() -> None:
    changes = between(row("a", "b", "T"), row("a", "c", "T"), **ASES)
    assert [cluster.kind for cluster in changes.clusters] == [ClusterKind.PATH]


def test_as_behind_silence_has_not_left() -> None:
    changes = between(row("a", "b", "c", "T"), row("a", "*", "x", "T"), **ASES)
    (change,) = changes.changes
    # `b` may still be there; `c` is not.
    assert (change.left_asns, change.joined_asns) == (["AS64501"], ["AS64502"])
    assert between(row("a", "b", "T"), row("a", "*", "T"), **ASES).empty


def test_other_table_of_asns_is_no_change() -> None:
    before = measured(row(*PATH), asns={"b": "AS1"})
    assert diff(before, measured(row(*PATH), asns={"b": "AS2"})).empty


def test_many_colos_that_move_alike_are_one_cluster() -> None:
    colos = [f"c{number:02}" for number in range(31)]
    before = [row("a", "b", "c", "T=20", colo=colo) for colo in colos]
    after = [row("a", "x", "y", "T=32", colo=colo) for colo in colos]
    still = row(*PATH, colo="den01")
    changes = diff(measured(*before, still, asns=ASES), measured(*after, still, asns=ASES))
    assert sentence(changes) == (
        "31 colos moved from AS64501 to AS64502 at hop 2\N{EN DASH}3 on the way to example.com, "
        "median RTT +12 ms"
    )
    assert changes.clusters[0].colos == colos
    assert len(changes.changes) == len(changes.clusters[0].rows) == 31
    assert changes.in_words[0] == "32 rows compared, with the paths of 32: 31 rows differ"


def test_rows_that_share_a_new_address_are_one_cluster() -> None:
    before = [row("a", "b", "d", "T", colo="c1"), row("e", "f", "d", "T", colo="c2")]
    after = [row("a", "x", "y", "T", colo="c1"), row("e", "z", "y", "T", colo="c2")]
    other = [row("g", "h", "T", colo="c3"), row("g", "i", "T", colo="c3")]
    changes = diff(measured(*before, other[0]), measured(*after, other[1]))
    assert [cluster.colos for cluster in changes.clusters] == [["c1", "c2"], ["c3"]]


def test_rows_of_one_measurement_only_are_told_and_no_difference() -> None:
    one, both, other = (row(*PATH, colo=colo) for colo in ("c1", "c2", "c3"))
    changes = diff(measured(one, both), measured(both, other))
    assert changes.empty
    assert [name.colo for name in changes.only_before] == ["c1"]
    assert [name.colo for name in changes.only_after] == ["c3"]
    assert changes.in_words[1:] == ["1 row only before", "1 row only after"]


def test_unlike_options_are_named() -> None:
    before = measured(row(*PATH))
    after = measured(row(*PATH), options=Options(PacketType.TCP, port=443))
    assert diff(before, after).unlike_options == ["packet_type", "port"]


def test_unreached_rows_of_a_moved_path_are_counted() -> None:
    colos = ["c1", "c2"]
    before = [row("a", "b", "T", colo=colo) for colo in colos]
    after = [row("a", "x", "T", colo="c1"), row("a", "x", "*", colo="c2")]
    changes = diff(measured(*before, asns=ASES), measured(*after, asns=ASES))
    assert sentence(changes).endswith("on the way to example.com; 1 of 2 no longer reached")


def test_swapped_measurements_give_the_mirrored_differences() -> None:
    one, other = row("a", "b", "c", "T"), row("a", "x", "T")
    there, back = between(one, other), between(other, one)
    assert hops(there, "appeared") == hops(back, "went")
    assert moved(there) == [(ip_, after, before) for ip_, before, after in moved(back)]


def test_order_of_rows_does_not_matter() -> None:
    before = [row("a", "b", "T", colo=f"c{n}") for n in range(5)]
    after = [row("a", "x", "T", colo=f"c{n}") for n in range(5)]
    one = diff(measured(*before), measured(*after))
    other = diff(measured(*before[::-1]), measured(*after[::-1]))
    assert one == other


def test_steps_give_the_same() -> None:
    before = measured(*(row("a", "b", "T", colo=f"c{n:03}") for n in range(200)))
    after = measured(*(row("a", "x", "T", colo=f"c{n:03}") for n in range(200)))
    steps = work(before, after)
    assert len(list(steps)) > 3
    assert steps.result == diff(before, after)


def test_target_asked_for_twice_is_compared_once() -> None:
    once = measured(row(*PATH))
    summary = replace(once.summary, targets=("example.com", "example.com"))
    twice = replace(once, summary=summary, traces={0: once.traces[0], 1: once.traces[0]})
    assert diff(twice, twice).rows == 1


def test_changes_beyond_the_bound_are_counted(monkeypatch) -> None:
    """Each row has the same part of it. Sentences are of everything, as if nothing were cut."""
    before = measured(*(row(*PATH, colo=colo) for colo in ("den01", "fra01")))
    after = measured(row("a", "x", "y", "T", colo="den01"), row("a", "x", "c", "T", colo="fra01"))
    whole = diff(before, after)
    assert whole.left_out == 0
    monkeypatch.setattr(bounds, "MOST", 2)
    changes = diff(before, after)
    den, fra = changes.changes
    assert [hop.ip for hop in den.went] == [ip("b")]
    assert [hop.ip for hop in den.appeared] == [ip("x")]
    assert (den.left_out, fra.left_out, changes.left_out) == (2, 0, 2)
    assert changes.in_words[:-1] == whole.in_words
    assert changes.in_words[-1] == "too many to list: 2 more changed hops and ASes of 1 row"
    assert changes.rows == whole.rows


def test_addresses_of_clusters_have_a_bound(monkeypatch) -> None:
    monkeypatch.setattr(bounds, "MOST", 1)
    (cluster,) = between(row(*PATH), row("a", "x", "y", "T")).clusters
    assert (cluster.went, cluster.appeared, cluster.left_out) == ([ip("b")], [ip("x")], 2)
    assert f"{ip('x')} and {ip('y')} instead of {ip('b')} and {ip('c')}" in cluster.in_words
