"""A running measurement: tables that fill, or a line for each colo where they don't fit."""

from collections.abc import Sequence

from colotrace_proto import rows
from colotrace_proto.layout import TextOutput, grid
from colotrace_proto.table import path_lines
from msgspec import UNSET

from colotrace_cli.live.state import Live, Place

from .overview import last_answered


def progress(found: Sequence[Live], on: TextOutput, room: int) -> list[str]:
    """At most `room` lines."""
    every = [(live, place) for live in found for place in live.places()]
    if not every:
        return []
    tables = _tables(every, on)
    if tables is not None and len(tables) <= room:
        return tables
    lines = _lines(every, on)
    if len(lines) <= room:
        return lines
    # The rows that still run say more than those that have ended.
    open_first = sorted(range(len(every)), key=lambda at: every[at][1] in every[at][0].rows)
    kept = sorted(open_first[: max(room - 1, 0)])
    rest = len(every) - len(kept)
    return [*(lines[at] for at in kept), on.encodable(f"… and {rest} more rows")][:room]


def _tables(every: Sequence[tuple[Live, Place]], on: TextOutput) -> list[str] | None:
    """The paths so far; None if there are more than a screen would show."""
    if len(every) > 8:
        return None
    lines: list[str] = []
    for live, place in every:
        if lines:
            lines.append("")
        target, colo = _names(live, place, on)
        heading = f"{target} from {colo}: {_state(live, place, on)}"
        lines.append(on.bold(on.fit(on.encodable(heading), (on.columns or 80) - 1)))
        path = _path(live, place)
        if path:
            lines += path_lines(path, on)
    return lines


def _path(live: Live, place: Place) -> list[rows.Hop]:
    row = live.rows.get(place)
    if row is not None:
        return row.hops
    return [hop for _, hop in sorted(live.hops.get(place, {}).items())]


def _lines(every: Sequence[tuple[Live, Place]], on: TextOutput) -> list[str]:
    """A line for each row; the target only if there are several."""
    names = [_names(live, place, on) for live, place in every]
    several = len({target for target, _ in names}) > 1
    cells = [
        (colo, *([target] if several else []), _state(live, place, on))
        for (target, colo), (live, place) in zip(names, every, strict=True)
    ]
    lines = grid(cells[0], cells[1:], right=[False] * len(cells[0]))
    return [on.fit(on.encodable(line), (on.columns or 80) - 1) for line in lines]


def _names(live: Live, place: Place, on: TextOutput) -> tuple[str, str]:
    asked = live.measurement
    if asked is None:
        return "", ""
    return on.text(asked.targets[place[0]]), on.text(asked.colos[place[1]])


def _state(live: Live, place: Place, on: TextOutput) -> str:
    row = live.rows.get(place)
    if row is None:
        far = last_answered(_path(live, place))
        return f"up to hop {far} so far" if far else "waiting"
    if row.error:
        return on.text(row.error)
    if not row.target_summary.packet_count:
        return f"not reached, {last_answered(row.hops)} hops"
    mean = row.target_summary.mean_rtt_ms
    time = "" if mean is UNSET else f" in {mean:.3f} ms"
    return f"reached{time}, {last_answered(row.hops)} hops"
