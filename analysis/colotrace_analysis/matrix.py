"""Colos x hops of one target, aligned at the target, from the API's rows.

The last column is the target, the one before it the hop before the target, and so on, so that the
same router stands in one column where paths join. A row that did not reach the target is placed by
the furthest address that it shares with a placed row; without one, its last answer stands two
columns before the target, and `aligned` is False.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from colotrace_proto import rows
from msgspec import UNSET

from .work import ROW_LINES, Pace, Steps, Work

_HOP_LINES = 3
"""A hop takes as long as so many replies."""
_CARRIED = 0.5
"""Loss carries on if all later hops that answer lose at least this part of it."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A hop of a row. `ip`, `name` and `asn` are those of the address with most answers, empty for
    silence; `others` counts the further ones. RTTs are means in milliseconds.

    `added_ms` is the RTT beyond that of the hop before that answered; it may be negative. Loss
    `carries_on` if the hops after it lose about as much, or if this is the target. If not, it is a
    router that limits its answers. None if nothing is lost, or nothing after it answered.
    """

    ttl: int
    ip: str = ""
    name: str = ""
    asn: str = ""
    others: int = 0
    rtt_ms: float | None = None
    added_ms: float | None = None
    sent: int = 0
    lost: int = 0
    carries_on: bool | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A colo. `cells` has one entry for each column; None beyond the row's ends. `rtt_ms`, `lost`
    and `sent` are those of the target."""

    colo: str
    city: str
    error: str
    reached: bool
    aligned: bool
    hops: int
    rtt_ms: float | None
    lost: int
    sent: int
    cells: list[Cell | None]


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """The colos of one target, in their order. `columns` are the distances to the target: 0 is the
    target, -1 the hop before it."""

    target: str
    columns: list[int]
    lines: list[Line]


def matrix(target: rows.TargetRow) -> Matrix:
    """The matrix of a target."""
    return work(target).finish()


def work(target: rows.TargetRow) -> Work[Matrix]:
    """The same in steps."""
    return Work(_steps(target))


def _steps(target: rows.TargetRow) -> Steps[Matrix]:
    pace = Pace()
    cells: list[list[Cell]] = []
    for row in target.colos:
        cells.append(_cells(row))
        if pace.full(_HOP_LINES * len(row.hops) + ROW_LINES):
            yield
    reached = [_reached(row) for row in target.colos]
    yield
    places = _places(cells, reached)
    width = max((place for place, _ in places), default=0)
    yield
    lines = [
        _line(row, found, width=width, place=place, aligned=aligned, reached=at_target)
        for row, found, (place, aligned), at_target in zip(
            target.colos, cells, places, reached, strict=True
        )
    ]
    return Matrix(target=target.target, columns=list(range(1 - width, 1)), lines=lines)


def _reached(row: rows.ColoRow) -> bool:
    """Whether the last hop is the target. Its answers may also name no probe, and so no TTL."""
    summary = row.target_summary
    last = row.hops[-1].nodes if row.hops else []
    timed = summary.mean_rtt_ms is not UNSET
    return bool(summary.packet_count) and timed and any(node.packet_count for node in last)


def _cells(row: rows.ColoRow) -> list[Cell]:
    """The cells of a row, without silence at its end unless the row has nothing else."""
    losses = [hop.packets_lost / hop.packets_sent if hop.packets_sent else 0 for hop in row.hops]
    answered = [any(node.packet_count for node in hop.nodes) for hop in row.hops]
    cells: list[Cell] = []
    before: float | None = None
    for place, hop in enumerate(row.hops):
        first = hop.nodes[0] if hop.nodes else rows.SILENCE
        if not first.packet_count:
            cells.append(Cell(ttl=hop.packets_ttl, sent=hop.packets_sent, lost=hop.packets_lost))
            continue
        rtt_ms = None if first.mean_rtt_ms is UNSET else first.mean_rtt_ms
        cells.append(
            Cell(
                ttl=hop.packets_ttl,
                ip=first.ip,
                name="" if first.name == first.ip else first.name,
                asn="" if first.asn == rows.UNKNOWN_ASN else first.asn,
                others=len(hop.nodes) - 1,
                rtt_ms=rtt_ms,
                added_ms=None if rtt_ms is None or before is None else rtt_ms - before,
                sent=hop.packets_sent,
                lost=hop.packets_lost,
                carries_on=_carries_on(place, losses, answered, reached=_reached(row)),
            )
        )
        before = rtt_ms if rtt_ms is not None else before
    last = max((place for place, one in enumerate(answered) if one), default=-1)
    return cells[: last + 1]


def _carries_on(
    place: int, losses: Sequence[float], answered: Sequence[bool], *, reached: bool
) -> bool | None:
    if not losses[place]:
        return None
    if reached and place == len(losses) - 1:
        return True
    later = [
        loss for loss, one in zip(losses[place + 1 :], answered[place + 1 :], strict=True) if one
    ]
    return min(later) >= _CARRIED * losses[place] if later else None


def _places(cells: Sequence[Sequence[Cell]], reached: Sequence[bool]) -> list[tuple[int, bool]]:
    """For each row, how many columns before the end it begins, and whether that is known."""
    distances: dict[str, Counter[int]] = {}
    for found, at_target in zip(cells, reached, strict=True):
        if at_target:
            for place, cell in enumerate(found):
                if cell.ip:
                    distances.setdefault(cell.ip, Counter())[len(found) - place] += 1
    return [
        (len(found), True) if at_target else _beside(found, distances)
        for found, at_target in zip(cells, reached, strict=True)
    ]


def _beside(found: Sequence[Cell], distances: Mapping[str, Counter[int]]) -> tuple[int, bool]:
    """The place of a row that did not reach the target."""
    for place in reversed(range(len(found))):
        counts = distances.get(found[place].ip)
        if counts:
            most = max(counts.values())
            distance = min(each for each, count in counts.items() if count == most)
            # What follows must not come to stand at the target.
            return max(distance, len(found) - place + 1) + place, True
    return len(found) + 2 if found else 0, False


def _line(
    row: rows.ColoRow,
    cells: Sequence[Cell],
    *,
    width: int,
    place: int,
    aligned: bool,
    reached: bool,
) -> Line:
    before: list[Cell | None] = [None] * (width - place)
    after: list[Cell | None] = [None] * (place - len(cells))
    summary = row.target_summary
    last = row.hops[-1] if row.hops else None
    return Line(
        colo=row.colo.name,
        city=row.colo.city,
        error=row.error,
        reached=bool(summary.packet_count),
        aligned=aligned,
        hops=len(row.hops) if reached else len(cells),
        rtt_ms=None if summary.mean_rtt_ms is UNSET else summary.mean_rtt_ms,
        lost=last.packets_lost if last else 0,
        sent=last.packets_sent if last else 0,
        cells=[*before, *cells, *after],
    )
