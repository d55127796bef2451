"""What changed since the trace before."""

from collections.abc import Sequence
from datetime import datetime

from colotrace_proto.layout import TextOutput

from colotrace_cli.api.shapes import Difference

from .difference import difference


def since(found: Sequence[Difference], now: datetime, on: TextOutput) -> list[str]:
    """A line with the time, and below it what differs, if anything does."""
    differing = [each for each in found if not each.empty]
    rows = sum(len(each.changes) for each in differing)
    what = f"{rows} {'row differs' if rows == 1 else 'rows differ'}" if differing else "no change"
    unseen = sum(each.rows - each.paths for each in found)
    if not differing and not any(each.paths for each in found):
        what = "no path could be compared"
    elif unseen and not differing:
        what += f" seen; {unseen} {'path was' if unseen == 1 else 'paths were'} not compared"
    lines = [on.bold(f"{now:%Y-%m-%d %H:%M:%S}Z {what}")]
    for each in differing:
        lines += difference(each, on)
    return lines
