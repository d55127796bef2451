"""Measurements without their rows: as a list, and one in a line."""

from collections.abc import Sequence

from colotrace_proto.layout import TextOutput

from colotrace_cli.api.shapes import Measurement

from .tables import table
from .times import duration, short_time

_HEAD = ("id", "began", "state", "rows", "took", "from", "targets")
_NAMED = 2


def measurements(found: Sequence[Measurement], on: TextOutput) -> list[str]:
    """A line for each measurement, or several on a narrow terminal."""
    if not found:
        return ["no measurements"]
    body = [
        (
            on.text(each.id),
            short_time(each.began_at, on),
            state(each, on),
            f"{each.rows.finished}/{each.rows.asked}",
            duration(each.took_ms),
            some(each.colos, "colos", on),
            some(each.targets, "targets", on),
        )
        for each in found
    ]
    return table(_HEAD, body, on, elastic=len(_HEAD) - 1, right=("rows", "took"))


def state(of: Measurement, on: TextOutput) -> str:
    """The state in words: how it goes on, or how it ended."""
    if of.status == "complete" and of.outcome:
        return {"errors": "with errors"}.get(of.outcome) or on.text(of.outcome, most=20)
    return on.text(of.status, most=20)


def some(names: Sequence[str], what: str, on: TextOutput) -> str:
    """The names, or the first and the number of them."""
    if len(names) <= _NAMED:
        return " ".join(on.text(name) for name in names)
    return f"{on.text(names[0])} +{len(names) - 1}" if what == "targets" else f"{len(names)} {what}"


def heading(of: Measurement, on: TextOutput) -> str:
    """One line about a measurement: its id, when, and how it went."""
    parts = [f"measurement {on.text(of.id)}", short_time(of.began_at, on), state(of, on)]
    if of.running:
        parts.append(f"{of.rows.finished} of {of.rows.asked} rows so far")
    return ", ".join(part for part in parts if part)
