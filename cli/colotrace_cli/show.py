"""What is printed on standard output."""

import sys

import msgspec
from colotrace_proto import rows
from colotrace_proto.table import console, trace_table
from colotrace_proto.text import safe

from .answer import Answer, ColoState, Notice


def body(content: bytes) -> None:
    """The API's body: byte for byte into a file or pipe, indented on a terminal.

    `content` is JSON. On a terminal what the terminal would obey is written as JSON escapes;
    the value stays the same.
    """
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    text = msgspec.json.format(content, indent=2).decode(errors="replace")
    print("".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text))  # noqa: T201


def answer(what: Answer, *, took_s: float) -> None:
    """A table for each target and colo, what was said of each, and a summary line."""
    of_row: dict[tuple[int, int], list[Notice]] = {}
    of_none: list[Notice] = []
    for notice in what.messages:
        place = notice.row
        if place is not None and _exists(place, what.rows):
            of_row.setdefault(place, []).append(notice)
        else:
            of_none.append(notice)

    out = console()
    for t, target in enumerate(what.rows):
        for c, row in enumerate(target.colos):
            notes = [notice.in_words() for notice in of_row.get((t, c), [])]
            out.print(trace_table(target.target, row, notes=notes))
            out.print()
    for notice in of_none:
        out.print(notice.in_words())
    out.print(_summary(what.rows, took_s))


def colos(known: list[ColoState]) -> None:
    """A line for each colo."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console()
    if not known:
        out.print("no colos yet: start an agent with colotrace-agent run")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    for heading in ("colo", "city", "state", "agents", "families", "packet types"):
        right = heading == "agents"
        table.add_column(heading, overflow="fold", justify="right" if right else "left")
    for colo in known:
        cells = (
            safe(colo.name),
            safe(colo.city),
            safe(colo.state, most=20),
            str(colo.agents),
            " ".join(_family(family) for family in colo.families[:4]),
            " ".join(safe(kind, most=20) for kind in colo.packet_types[:16]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)


def failed_rows(found: list[rows.TargetRow]) -> int:
    """How many rows have an error."""
    return sum(1 for target in found for row in target.colos if row.error)


def _summary(found: list[rows.TargetRow], took_s: float) -> str:
    count = sum(len(target.colos) for target in found)
    reached = sum(
        1 for target in found for row in target.colos if row.target_summary.packet_count > 0
    )
    word = "trace" if count == 1 else "traces"
    text = f"{count} {word} in {took_s:.1f} s: {reached} reached the target"
    failed = failed_rows(found)
    return f"{text}, {failed} with an error" if failed else text


def _exists(place: tuple[int, int], found: list[rows.TargetRow]) -> bool:
    target, colo = place
    return target < len(found) and colo < len(found[target].colos)


def _family(family: str) -> str:
    return {"ipv4": "IPv4", "ipv6": "IPv6"}.get(family) or safe(family, most=20)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
