"""The paths of all colos together: merged as a tree, or as a table of colos and hops."""

from collections.abc import Sequence

from colotrace_analysis.matrix import Cell, Line, Matrix, matrix
from colotrace_analysis.sentences import short_ms
from colotrace_analysis.tree import tree
from colotrace_proto import rows
from colotrace_proto.layout import TextOutput, flow, grid, total, widths

_LEAST_SHOWN = 2
"""Columns of hops below which the table is of no use; then each colo has several lines."""
_LABELS = (24, 15, 9)
"""Columns of a hop's name or address: as many as let all hops fit, or the least."""


def as_tree(target: rows.TargetRow, on: TextOutput) -> list[str]:
    """The merged paths, read from the target back to the colos."""
    return tree(target, on=on)


def as_matrix(target: rows.TargetRow, on: TextOutput) -> list[str]:
    """A line for each colo, the hops aligned at the target. Where not all hops fit, those nearest
    to the target are shown. Each has its name or address, and the mean round-trip time in ms."""
    found = matrix(target)
    own = [(on.text(line.colo), _time(line), _loss(line)) for line in found.lines]
    hops = _cells(found, own, on)
    heads = ["target" if column == 0 else str(column) for column in found.columns]
    shown = len(heads)
    while True:
        head = ("colo", "ms", "loss", *heads[len(heads) - shown :])
        body = [
            (*first, *cells[len(cells) - shown :]) for first, cells in zip(own, hops, strict=True)
        ]
        if shown <= _LEAST_SHOWN or on.fits(total(widths(head, body))):
            break
        shown -= 1
    heading = [on.bold(line) for line in flow([on.text(target.target)], on)]
    wide = total(widths(head, body))
    if not on.fits(wide):
        return [
            *heading,
            *(
                line
                for cells in body
                for line in flow([word for each in cells for word in each.split()], on, indent=4)
            ),
        ]
    right = [False, True, True, *([False] * shown)]
    first_line, *lines = grid(head, body, right=right)
    left_out = len(heads) - shown
    below = [f"{left_out} hops further from the target do not fit"] if left_out else []
    return [*heading, on.bold(first_line), on.encodable("─") * wide, *lines, *below]


def _cells(found: Matrix, own: Sequence[tuple[str, str, str]], on: TextOutput) -> list[list[str]]:
    """The hops of each colo, with the longest labels that fit beside its `own` cells."""
    hops: list[list[str]] = []
    for most in _LABELS:
        hops = [[_cell(cell, on, most) for cell in line.cells] for line in found.lines]
        body = [(*first, *cells) for first, cells in zip(own, hops, strict=True)]
        head = ("colo", "ms", "loss", *("target" for _ in found.columns))
        if on.fits(total(widths(head, body))):
            break
    return hops


def _cell(cell: Cell | None, on: TextOutput, most: int) -> str:
    """A hop; "" beyond the ends of the path, `*` for silence, `+1` for a further address, and `!`
    for loss that carries on to the target."""
    if cell is None:
        return ""
    if not cell.ip:
        return "*"
    label = on.fit(on.text(cell.name or cell.ip), most)
    more = f" +{cell.others}" if cell.others else ""
    time = "" if cell.rtt_ms is None else f" {short_ms(cell.rtt_ms)}"
    return f"{label}{more}{time}{' !' if cell.carries_on else ''}"


def _time(line: Line) -> str:
    if line.error:
        return "error"
    return "" if line.rtt_ms is None else f"{line.rtt_ms:.3f}"


def _loss(line: Line) -> str:
    if not line.reached or not line.sent:
        return "" if line.reached else "no answer"
    return f"{100 * line.lost / line.sent:.0f}%"
