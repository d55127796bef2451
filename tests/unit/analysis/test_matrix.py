"""Colos x hops, aligned at the target."""

from colotrace_analysis.matrix import Cell, Matrix, matrix
from colotrace_proto import rows
from colotrace_proto.measured import Trace
from colotrace_proto.tally import Known, colo_rows
from unit.analysis.written import ip, row


def of(*traces: Trace, names: dict[str, str] | None = None) -> Matrix:
    known = Known({ip(letter): name for letter, name in (names or {}).items()}, {ip("a"): "AS1"})
    found = colo_rows([trace.gathered for trace in traces], known)
    return matrix(rows.TargetRow(target="example.com", colos=found))


def letters(drawn: Matrix) -> list[str]:
    """A text for each line: letters, `*` for silence, `.` for nothing."""
    return ["".join(map(letter, line.cells)) for line in drawn.lines]


def letter(cell: Cell | None) -> str:
    if cell is None:
        return "."
    if cell.ip == ip("T"):
        return "T"
    return chr(int(cell.ip.split(".")[3])) if cell.ip else "*"


def test_rows_are_aligned_at_the_target() -> None:
    drawn = of(row("a", "b", "c", "T"), row("d", "c", "T", colo="sin01"))
    assert letters(drawn) == ["abcT", ".dcT"]
    assert drawn.columns == [-3, -2, -1, 0]


def test_cell_has_address_name_asn_and_times() -> None:
    drawn = of(row("a=5", "*", "b=20", "T=21"), names={"b": "r2"})
    first, silent, second, _ = drawn.lines[0].cells
    assert first == Cell(ttl=1, ip=ip("a"), asn="AS1", rtt_ms=5, sent=3)
    assert silent == Cell(ttl=2, sent=3, lost=3)
    assert second is not None
    assert (second.name, second.asn, second.rtt_ms, second.added_ms) == ("r2", "", 20, 15)


def test_line_has_the_targets_numbers() -> None:
    (line,) = of(row("a", "T=20 T=22 *")).lines
    assert (line.colo, line.city, line.hops) == ("den01", "Denver, CO, US", 2)
    assert (line.reached, line.rtt_ms, line.lost, line.sent) == (True, 21, 1, 3)


def test_loss_of_one_router_does_not_carry_on() -> None:
    (line,) = of(row("a * *", "b", "T")).lines
    assert [cell and cell.carries_on for cell in line.cells] == [False, None, None]


def test_loss_up_to_the_target_carries_on() -> None:
    (line,) = of(row("a", "b * *", "*", "T * *")).lines
    assert [cell and cell.carries_on for cell in line.cells] == [None, True, None, True]


def test_loss_before_silence_is_undecided() -> None:
    (line,) = of(row("a", "b * *", "*", "*")).lines
    assert line.cells[1] is not None
    assert line.cells[1].carries_on is None


def test_unreached_row_stands_by_the_router_it_shares() -> None:
    drawn = of(row("a", "b", "c", "d", "T"), row("e", "b", "*", "*", colo="sin01"))
    assert letters(drawn) == ["abcdT", "eb..."]
    line = drawn.lines[1]
    assert (line.reached, line.aligned, line.hops) == (False, True, 2)


def test_unreached_row_never_reaches_the_targets_column() -> None:
    drawn = of(row("a", "b", "T"), row("b", "x", "y", "*", colo="sin01"))
    assert letters(drawn) == [".abT", "bxy."]


def test_unreached_row_that_shares_nothing_is_not_aligned() -> None:
    drawn = of(row("a", "b", "c", "T"), row("x", "*", "*", colo="sin01"))
    assert letters(drawn) == ["abcT", ".x.."]
    assert not drawn.lines[1].aligned


def test_row_without_hops_is_a_line_of_nothing() -> None:
    drawn = of(row("a", "T"), row(code=1, colo="sin01"))
    assert letters(drawn) == ["aT", ".."]
    assert drawn.lines[1].error
    assert letters(of(row(code=1))) == [""]


def test_target_without_a_known_distance_is_reached_and_not_a_column() -> None:
    drawn = of(row("a", "b", "T"), row("a", "b", "*", unplaced=2, colo="sin01"))
    assert letters(drawn) == ["abT", "ab."]
    assert drawn.lines[1].reached


def test_further_addresses_of_a_hop_are_counted() -> None:
    (line,) = of(row("a", "b b c", "T")).lines
    assert line.cells[1] is not None
    assert (line.cells[1].ip, line.cells[1].others) == (ip("b"), 1)
