"""The merged paths of all colos as text."""

from colotrace_analysis.tree import tree
from colotrace_proto import rows
from colotrace_proto.layout import TextOutput
from colotrace_proto.measured import Trace
from colotrace_proto.tally import Known, colo_rows
from colotrace_proto.text import width
from hypothesis import given
from hypothesis import strategies as st
from unit.analysis.written import ip, row

FILE, TERMINAL = TextOutput(None), TextOutput(80)


def answer(
    *traces: Trace, names: dict[str, str] | None = None, asns: dict[str, str] | None = None
) -> rows.TargetRow:
    """The API's row. An address without a name has its letter as name."""
    letters = {chr(n): chr(n) for n in range(48, 123)} | {"T": "target"}
    known = Known(
        {ip(letter): name for letter, name in (letters | (names or {})).items()},
        {ip(letter): asn for letter, asn in (asns or {}).items()},
    )
    found = colo_rows([trace.gathered for trace in traces], known)
    return rows.TargetRow(target="example.com", colos=found)


def drawn(*traces: Trace, on: TextOutput = FILE, most_lines: int = 25) -> list[str]:
    return tree(answer(*traces), on=on, ascii_only=True, most_lines=most_lines)


def test_paths_are_read_from_the_target_and_equal_tails_are_one_line() -> None:
    lines = drawn(
        row("a", "m", "n", "T=20", colo="c1"),
        row("b", "m", "n", "T=30", colo="c2"),
        row("d", "n", "T=40", colo="c3"),
    )
    assert lines == [
        "example.com (203.0.113.9)  3 colos  20.0-40.0 ms",
        "`- n  3 colos  20.0-40.0 ms",
        "   |- m  2 colos  20.0-30.0 ms",
        "   |  |- a <- c1  20.0 ms",
        "   |  `- b <- c2  30.0 ms",
        "   `- d <- c3  40.0 ms",
    ]


def test_lines_are_drawn_where_the_output_can() -> None:
    of = answer(row("a", "T", colo="c1"), row("b", "T", colo="c2"))
    lines = tree(of, on=FILE)
    assert [line[:2] for line in lines[1:]] == ["├─", "└─"]
    assert "←" in lines[1]
    assert all(line.isascii() for line in tree(of, on=TextOutput(80, "ascii")))


def test_small_branches_are_folded_until_few_lines_are_left() -> None:
    traces = [row("abcde"[n % 5], "m", "T=20", colo=f"c{n}") for n in range(10)]
    traces += [row("f", "n", "T=90", colo="z1")]
    assert drawn(*traces) == [
        "example.com (203.0.113.9)  11 colos  20.0-90.0 ms",
        "|- m  10 colos  20.0 ms",
        "|  |- a <- c0 20.0, c5 20.0",
        "|  |- b <- c1 20.0, c6 20.0",
        "|  |- c <- c2 20.0, c7 20.0",
        "|  |- d <- c3 20.0, c8 20.0",
        "|  `- e <- c4 20.0, c9 20.0",
        "`- n <- f <- z1  90.0 ms",
    ]
    assert drawn(*traces, most_lines=7) == [
        "example.com (203.0.113.9)  11 colos  20.0-90.0 ms",
        "|    z1 90.0",
        "`- m  10 colos  20.0 ms",
        "        c0 20.0, c1 20.0, c2 20.0, c3 20.0, c4 20.0, c5 20.0, c6 20.0, c7 20.0,",
        "        c8 20.0, c9 20.0",
    ]
    assert drawn(*traces, most_lines=4) == [
        "example.com (203.0.113.9)  11 colos  20.0-90.0 ms",
        "     c0 20.0, c1 20.0, c2 20.0, c3 20.0, c4 20.0, c5 20.0, c6 20.0, c7 20.0,",
        "     c8 20.0, c9 20.0, z1 90.0",
    ]


def test_sixty_colos_take_about_25_lines() -> None:
    traces = [
        row(chr(192 + n % 60), "abcdefghij"[n % 10], "mno"[n % 3], "y", "T=20", colo=f"c{n:02}")
        for n in range(60)
    ]
    lines = drawn(*traces, on=TERMINAL)
    assert 10 <= len(lines) <= 25
    assert sum(line.count(" 20.0") for line in lines) >= 60


def test_colos_without_an_answer_are_a_branch_from_their_last_hop() -> None:
    lines = drawn(
        row("a", "m", "*", "*", colo="c1"),
        row("b", "m", "*", colo="c2"),
        row("d", "T=40", colo="c3"),
    )
    assert lines[1:4] == [
        "|- no answer <- m  2 colos",
        "|  |- a <- c1",
        "|  `- b <- c2",
    ]


def test_folded_colo_says_that_it_has_no_answer() -> None:
    traces = [row("a", "T=20", colo=f"c{n}") for n in range(5)] + [row("b", "*", colo="z1")]
    assert "z1 (no answer)" in "\n".join(drawn(*traces, most_lines=2))


def test_loss_of_the_target_is_told() -> None:
    lines = drawn(row("a", "T=20 T=20 *", colo="c1"), row("a", "T=20", colo="c2"))
    assert lines[0].endswith("2 colos  20.0 ms  1 loses 33%")
    assert lines[1] == "`- a <- c1 20.0 (33% lost), c2 20.0"


def test_rows_without_hops_follow_with_their_error() -> None:
    lines = drawn(row("a", "T"), row(colo="c2", code=1), row(colo="c1", code=1))
    assert lines[-1] == "c1, c2 Could not gather traceroute data: Code 1"


def test_silent_hop_is_taken_for_what_others_met_there() -> None:
    lines = drawn(row("a", "m", "n", "T", colo="c1"), row("b", "a", "*", "n", "T", colo="c2"))
    assert lines[1].startswith("`- n <- m <- a  2 colos")


def test_silent_hop_stays_if_others_met_several() -> None:
    lines = drawn(
        row("a", "m", "n", "T", colo="c1"),
        row("a", "p", "n", "T", colo="c2"),
        row("a", "*", "n", "T", colo="c3"),
    )
    assert [line[3:8].strip() for line in lines[2:]] == ["|- *", "|- m", "`- p"]


def test_further_addresses_and_asns_are_told() -> None:
    of = answer(row("a b b", "T", colo="c1"), asns={"a": "AS64500"})
    assert "a AS64500 +1 <- c1" in tree(of, on=FILE, ascii_only=True)[1]


def test_names_are_escaped() -> None:
    of = answer(row("a", "T", colo="c1"), names={"a": "evil\x1b[31m"})
    assert "evil\\x1b[31m" in "\n".join(tree(of, on=FILE))


def test_no_row_has_hops() -> None:
    lines = drawn(row(colo="c1", code=3, target_address=b""))
    assert lines == [
        "example.com  0 colos",
        "c1 Could not gather traceroute data: Code 3",
    ]


paths = st.lists(
    st.lists(st.sampled_from("abcdefgh*"), min_size=1, max_size=6), min_size=1, max_size=30
)


@given(paths, st.integers(24, 120), st.booleans(), st.integers(1, 40))
def test_each_colo_is_told_once_and_lines_fit(
    hops: list[list[str]], columns: int, reached: bool, most_lines: int
) -> None:
    traces = [
        row(*each, *(["T"] if reached else []), colo=f"x{n:02}") for n, each in enumerate(hops)
    ]
    names = {chr(n): f"router-{chr(n)}.some.network.example.net" for n in range(97, 105)}
    of = answer(*traces, names=names)
    lines = tree(of, on=TextOutput(columns), most_lines=most_lines)
    assert all(width(line) <= columns for line in lines)
    text = "\n".join(tree(of, on=FILE, most_lines=most_lines))
    for n in range(len(hops)):
        assert text.count(f"x{n:02}") == 1
