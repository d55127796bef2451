"""What bad rows share."""

from collections.abc import Sequence

import pytest
from colotrace_analysis.fate import Condition, Fate, What, fate, work
from colotrace_proto.measured import Trace
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.analysis.written import address, ip, measured, row

ASNS = {"x": "AS64500", "y": "AS64500"}


def rows(number: int, *hops: str, first: int = 0) -> list[Trace]:
    """So many colos with the same path."""
    return [row(*hops, colo=f"c{first + n:02}") for n in range(number)]


def of(*groups: Sequence[Trace], asns: dict[str, str] | None = None) -> Fate:
    return fate(measured(*(trace for group in groups for trace in group), asns=asns or ASNS))


def sentences(found: Fate) -> list[str]:
    return [finding.in_words for finding in found.findings]


def test_node_of_the_slow_rows_is_told_in_one_sentence() -> None:
    found = of(
        rows(7, "a", "x", "T=90"),
        rows(2, "a", "b", "T=90", first=7),
        rows(41, "a", "b", "T=20", first=9),
    )
    assert sentences(found) == [
        f"7 of 9 slow colos cross {ip('x')} (AS64500); 0 of 41 healthy ones do"
    ]
    (finding,) = found.findings
    assert finding.colos == [f"c{n:02}" for n in range(7)]
    assert (finding.bad, finding.healthy_crossing, finding.healthy) == (9, 0, 41)
    # C(9, 7) / C(50, 7), since all seven that cross it are slow.
    assert finding.p_value == pytest.approx(36 / 99_884_400)


def test_what_the_same_rows_cross_is_one_finding() -> None:
    found = of(rows(5, "a", "x", "y", "T=90"), rows(20, "a", "b", "c", "T=20", first=5))
    (finding,) = found.findings
    nodes = [each.ips for each in finding.shared if each.what is What.NODE]
    assert nodes == [[ip("x")], [ip("y")]]
    assert [ip("x"), ip("y")] in [each.ips for each in finding.shared if each.what is What.LINK]
    assert [each.asn for each in finding.shared if each.what is What.AS] == ["AS64500"]
    assert f"cross {ip('x')} (AS64500) and {ip('y')} (AS64500);" in finding.in_words


def test_many_nodes_are_told_by_their_as() -> None:
    asns = dict.fromkeys("xyvw", "AS64500") | {"z": "AS64501"}
    found = of(rows(5, "a", *"xyvwz", "T=90"), rows(20, "a", "b", "T=20", first=5), asns=asns)
    (sentence,) = sentences(found)
    assert f" cross 4 nodes of AS64500 and {ip('z')} (AS64501);" in sentence


def test_replies_beyond_what_was_sent_are_no_loss() -> None:
    """An agent may report replies of TTLs at which it says it has sent nothing."""
    odd = row("a", "T=20")
    odd = replace(odd, gathered=replace(odd.gathered, sent=()))
    assert of([odd], rows(5, "a", "T=20", first=1)).bad == []


def test_link_is_found_whose_ends_healthy_rows_cross_too() -> None:
    found = of(
        rows(6, "a", "x", "y", "T=90"),
        rows(10, "a", "x", "b", "T=20", first=6),
        rows(10, "a", "c", "y", "T=20", first=16),
    )
    assert sentences(found) == [
        f"6 of 6 slow colos cross the link {ip('x')} to {ip('y')}; 0 of 20 healthy ones do"
    ]


def test_as_is_found_whose_routers_differ() -> None:
    asns = {"x": "AS64500", "y": "AS64500", "z": "AS64500", "b": "AS64501"}
    bad = [row("a", via, "T=90", colo=f"s{n}") for n, via in enumerate("xyzxyz")]
    found = of(bad, rows(20, "a", "b", "T=20"), asns=asns)
    assert sentences(found)[0] == "6 of 6 slow colos cross AS64500; 0 of 20 healthy ones do"


def test_finding_that_another_covers_is_left_out() -> None:
    bad = [row("a", "x", "p" if n < 5 else "q", "T=90", colo=f"s{n}") for n in range(8)]
    found = of(bad, rows(20, "a", "b", "T=20"))
    assert len(found.findings) == 1
    assert found.findings[0].colos == [f"s{n}" for n in range(8)]


def test_target_is_no_finding() -> None:
    found = of(rows(6, "a", "T=90"), rows(20, "a", "T=20", first=6))
    assert found.findings == []
    assert [each.condition for each in found.bad] == [Condition.SLOW]


def test_another_address_of_the_target_is_no_finding() -> None:
    elsewhere = row("a", "*", target_address=address("x"), unplaced=3, colo="z1")
    found = of(rows(6, "a", "x", "T=90"), rows(9, "a", "b", "T=20", first=6), [elsewhere])
    shared = [each for finding in found.findings for each in finding.shared]
    assert [each.ips for each in shared if each.what is What.NODE] == []


def test_colos_own_hops_are_no_findings() -> None:
    bad = [row(letter, "h", "T=90", colo=f"s{letter}") for letter in "pqrs"]
    assert of(bad, rows(20, "a", "h", "T=20")).findings == []


def test_unreached_rows_are_compared_with_healthy_ones() -> None:
    found = of(rows(4, "a", "x", "*", "*"), rows(10, "a", "b", "T", first=4))
    assert sentences(found) == [
        f"4 of 4 unreached colos cross {ip('x')} (AS64500); 0 of 10 healthy ones do"
    ]
    assert found.bad[0].in_words == "4 colos, of 14, do not reach example.com"


def test_lossy_rows_lost_two_probes_and_a_fifth() -> None:
    def conditions(hop: str) -> list[Condition]:
        return [each.condition for each in of([row("a", hop)], rows(5, "a", "T", first=1)).bad]

    assert conditions("T * *") == [Condition.LOSSY]
    assert conditions("T T *") == []
    assert conditions("* *" + " T" * 8) == [Condition.LOSSY]
    assert conditions("* *" + " T" * 9) == []


def test_slow_is_far_beyond_the_deviation_of_all_rows() -> None:
    far_apart = [row("a", f"T={10 + 20 * n}", colo=f"c{n}") for n in range(10)]
    assert of(far_apart).bad == []
    near = [row("a", f"T={20 + n}", colo=f"c{n}") for n in range(9)]
    (bad,) = of(near, [row("a", "T=60", colo="s")]).bad
    assert bad.colos == ["s"]
    # Median 24.5 ms, deviation 2.5 ms scaled 3.7065 ms.
    assert (
        bad.in_words == "s, of 10, is slow to example.com: more than 35.6 ms, the median is 24.5 ms"
    )


def test_few_rows_are_not_slow() -> None:
    assert of(rows(3, "a", "T=20"), rows(1, "x", "T=900", first=3)).bad == []


def test_few_bad_rows_show_nothing() -> None:
    found = of(rows(1, "a", "x", "T=90"), rows(20, "a", "b", "T=20", first=1))
    assert (found.findings, len(found.bad)) == ([], 1)


def test_weak_association_is_no_finding() -> None:
    found = of(
        rows(3, "a", "x", "T=90"),
        rows(3, "a", "b", "T=90", first=3),
        rows(8, "a", "x", "T=20", first=6),
        rows(12, "a", "b", "T=20", first=14),
    )
    assert found.findings == []


def test_silent_hop_of_a_healthy_row_counts_against_a_finding() -> None:
    found = of(rows(6, "a", "x", "c", "T=90"), rows(20, "a", "*", "c", "T=20", first=6))
    assert found.findings == []
    found = of(rows(6, "a", "x", "c", "T=90"), rows(20, "a", "*", "d", "T=20", first=6))
    assert len(found.findings) == 1


def test_rows_with_an_error_are_neither_bad_nor_healthy() -> None:
    failed = [row("a", "x", code=2, colo=f"e{n}") for n in range(5)]
    assert of(failed, rows(5, "a", "T")).bad == []


def test_each_target_is_looked_at_alone() -> None:
    def to(target: str, via: str) -> list[Trace]:
        bad = [row("a", via, "T=90", target=target, colo=f"s{n}") for n in range(5)]
        return bad + [row("a", "b", "T=20", target=target, colo=f"c{n}") for n in range(20)]

    both = measured(*to("one", "x"), *to("two", "y"))
    assert sorted(finding.target for finding in fate(both).findings) == ["one", "two"]
    assert [finding.target for finding in fate(both, target="two").findings] == ["two"]
    with pytest.raises(LookupError):
        work(both, target="three")


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from("abc*"), min_size=1, max_size=4), st.booleans()),
        min_size=5,
        max_size=40,
    )
)
def test_finding_counts_what_its_rows_cross(drawn: list[tuple[list[str], bool]]) -> None:
    """An oracle that looks at one address in one row at a time."""
    traces = [
        row(*hops, "T=90" if slow else "T=20", colo=f"c{n:02}")
        for n, (hops, slow) in enumerate(drawn)
    ]
    found = of(traces)
    slow = {colo for each in found.bad for colo in each.colos}
    for finding in found.findings:
        for shared in finding.shared:
            if shared.what is not What.NODE:
                continue
            letter = chr(int(shared.ips[0].split(".")[3]))
            crossing = {f"c{n:02}" for n, (hops, _) in enumerate(drawn) if letter in hops}
            assert finding.colos == sorted(crossing & slow)
            assert finding.healthy_crossing >= len(crossing - slow)
