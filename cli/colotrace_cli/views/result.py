"""The rows of a measurement, for people."""

from collections.abc import Sequence

from colotrace_proto import rows
from colotrace_proto.layout import TextOutput
from colotrace_proto.table import trace_table

from colotrace_cli.api.shapes import Answer

from .overview import overview
from .tables import words

FEW = 4
"""Up to so many rows are printed in full."""


def result(found: Answer, on: TextOutput, *, took_s: float | None, full: bool) -> list[str]:
    """Where there are several rows, a line for each; then the paths, if they are few or `full`;
    then the messages about no row, and a summary."""
    by_row: dict[tuple[int, int] | None, list[str]] = {}
    for message in found.messages:
        by_row.setdefault(message.row, []).append(message.in_words())
    count = sum(len(target.colos) for target in found.rows)
    lines: list[str] = []
    if count > 1:
        for t, target in enumerate(found.rows):
            notes = [by_row.get((t, c), []) for c in range(len(target.colos))]
            lines += [*overview(target, on, notes=notes), ""]
    if full or count <= FEW:
        for t, target in enumerate(found.rows):
            for c, row in enumerate(target.colos):
                notes_of_row = by_row.get((t, c), [])
                lines += trace_table(target.target, row, on=on, notes=notes_of_row).split("\n")
    shown = {(t, c) for t, target in enumerate(found.rows) for c in range(len(target.colos))}
    for message in found.messages:
        if message.row not in shown:
            lines += words(message.in_words(), on)
    return [*lines, *words(summary([found], took_s), on)]


def summary(found: Sequence[Answer], took_s: float | None) -> str:
    """How many rows there are, and how they ended."""
    targets = [target for each in found for target in each.rows]
    count = sum(len(target.colos) for target in targets)
    word = "trace" if count == 1 else "traces"
    took = "" if took_s is None else f" in {took_s:.1f} s"
    text = f"{count} {word}{took}: {count - unreached_rows(targets)} reached the target"
    failed = failed_rows(targets)
    return f"{text}, {failed} with an error" if failed else text


def failed_rows(found: Sequence[rows.TargetRow]) -> int:
    """Number of rows with an error."""
    return sum(1 for target in found for row in target.colos if row.error)


def unreached_rows(found: Sequence[rows.TargetRow]) -> int:
    """Number of rows without an answer of their target, including rows with an error."""
    return sum(1 for target in found for row in target.colos if not row.target_summary.packet_count)
