"""Prints results on standard output."""

import sys

import msgspec
from colotrace_proto import rows
from colotrace_proto.layout import TextOutput, flow, grid, text_output, total, widths
from colotrace_proto.table import trace_table
from colotrace_proto.text import safe_json

from .answer import Answer, ColoState

_COLOS = ("colo", "city", "state", "agents", "families", "packet types")
_CITY = 1
_LEAST_CITY = 12


def body(content: bytes) -> None:
    """Print JSON: byte for byte into a file or pipe, indented on a terminal.

    On a terminal, control characters are written as JSON escapes; the value stays the same.
    """
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    text = msgspec.json.format(content, indent=2).decode(errors="replace")
    _print(safe_json(text))


def answer(what: Answer, *, took_s: float) -> None:
    """Print a table with messages for each target and colo, other messages, and a summary."""
    by_row: dict[tuple[int, int] | None, list[str]] = {}
    for message in what.messages:
        by_row.setdefault(message.row, []).append(message.in_words())
    on = text_output(sys.stdout)
    for t, target in enumerate(what.rows):
        for c, row in enumerate(target.colos):
            notes = by_row.pop((t, c), [])
            _print(trace_table(target.target, row, on=on, notes=notes))
    others = [message.in_words() for message in what.messages if message.row in by_row]
    for line in (*others, _summary(what.rows, took_s)):
        _print("\n".join(flow(on.encodable(line).split(), on)))


def colos(known: list[ColoState]) -> None:
    """Print a line for each colo, or several on a narrow terminal."""
    on = text_output(sys.stdout)
    if not known:
        _print("no colos yet: start an agent with colotrace-agent run")
        return
    body: list[tuple[str, ...]] = [
        (
            on.text(colo.name),
            on.text(colo.city),
            on.text(colo.state, most=20),
            str(colo.agents),
            " ".join(_family(family, on) for family in colo.families[:4]),
            " ".join(on.text(kind, most=20) for kind in colo.packet_types[:16]),
        )
        for colo in known
    ]
    wide = widths(_COLOS, body)
    fixed = total(wide) - wide[_CITY]
    if not on.fits(fixed + min(wide[_CITY], _LEAST_CITY)):
        for cells in body:
            _print("\n".join(flow([cell for cell in cells if cell], on, indent=4)))
        return
    if on.columns is not None:
        room = on.columns - fixed
        body = [(name, on.fit(city, room), *others) for name, city, *others in body]
    right = [heading == "agents" for heading in _COLOS]
    head, *lines = grid(_COLOS, body, right=right)
    rule = on.encodable("─") * total(widths(_COLOS, body))
    _print("\n".join((on.bold(head), rule, *lines)))


def failed_rows(found: list[rows.TargetRow]) -> int:
    """Number of rows with an error."""
    return sum(1 for target in found for row in target.colos if row.error)


def unreached_rows(found: list[rows.TargetRow]) -> int:
    """Number of rows without an answer of their target, including rows with an error."""
    return sum(1 for target in found for row in target.colos if not row.target_summary.packet_count)


def _summary(found: list[rows.TargetRow], took_s: float) -> str:
    count = sum(len(target.colos) for target in found)
    word = "trace" if count == 1 else "traces"
    text = f"{count} {word} in {took_s:.1f} s: {count - unreached_rows(found)} reached the target"
    failed = failed_rows(found)
    return f"{text}, {failed} with an error" if failed else text


def _family(family: str, on: TextOutput) -> str:
    return {"ipv4": "IPv4", "ipv6": "IPv6"}.get(family) or on.text(family, most=20)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
