"""The rows of a measurement, computed a few at a time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from colotrace_proto import rows, tally
from colotrace_proto.measured import Measured, Summary, Trace
from colotrace_proto.text import safe_json

_STEP_ROWS = 16
_STEP_REPLIES = 800
"""Rows and replies that are computed together: about a millisecond's worth. A row of more replies
takes longer."""

_PIECE = 8_000
"""Characters."""


class Row(NamedTuple):
    """A row: as it was recorded, and as the API shows it."""

    summary: Summary
    known: tally.Known
    target: str
    trace: Trace
    shown: rows.ColoRow


def steps(measured: Measured, numbers: Iterable[int] | None = None) -> Iterator[list[Row]]:
    """The rows, several at a time: those of these numbers (see `Summary.place`), or all. Rows
    that are absent are left out."""
    summary, traces = measured.summary, measured.traces
    step: list[tuple[int, Trace]] = []
    replies = 0
    for number in range(summary.rows) if numbers is None else numbers:
        trace = traces.get(number)
        if trace is None:
            continue
        count = len(trace.gathered.replies.ttl)
        if step and (len(step) == _STEP_ROWS or replies + count > _STEP_REPLIES):
            yield _computed(measured, step)
            step, replies = [], 0
        step.append((number, trace))
        replies += count
    if step:
        yield _computed(measured, step)


def each(measured: Measured) -> Iterator[Row]:
    """The rows one by one."""
    for step in steps(measured):
        yield from step


def numbers_of(summary: Summary, target: int) -> range:
    """The numbers of a target's rows, by the target's index."""
    width = len(summary.colos)
    return range(target * width, (target + 1) * width)


def time_text(unix_ms: int) -> str:
    """RFC 3339, in UTC with milliseconds; "" for a time that no calendar has."""
    try:
        time = datetime.fromtimestamp(unix_ms / 1e3, UTC)
    except (OverflowError, ValueError):
        return ""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_text(value: object) -> str:
    """A value as JSON in one line, without a character that a terminal does not show."""
    try:
        return safe_json(msgspec.json.encode(value).decode())
    except UnicodeEncodeError:  # half of a surrogate pair, which UTF-8 lacks and JSON can escape
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def pieces(parts: Iterable[str]) -> Iterator[str]:
    """The text of all parts, in pieces of a size that costs about a millisecond to write. So few
    pieces are made of many short rows, and several of a long one. An empty part ends a piece."""
    waiting: list[str] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _PIECE or not part:
            yield "".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield "".join(waiting)


def json_parts(head: Mapping[str, object], key: str, items: Iterable[object]) -> Iterator[str]:
    """A JSON object in parts: what `head` has, then the items as an array by that key."""
    yield f"{json_text(head)[:-1]},{json_text(key)}:["
    comma = ""
    for item in items:
        yield comma + json_text(item)
        comma = ","
    yield "]}"


def _computed(measured: Measured, step: list[tuple[int, Trace]]) -> list[Row]:
    summary, known = measured.summary, measured.known
    shown = tally.colo_rows([trace.gathered for _, trace in step], known)
    return [
        Row(summary, known, summary.targets[summary.place(number)[0]], trace, row)
        for (number, trace), row in zip(step, shown, strict=True)
    ]
