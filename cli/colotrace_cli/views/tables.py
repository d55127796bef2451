"""Tables whose one column is shortened to fit, and that flow on a terminal that is too narrow."""

from collections.abc import Sequence

from colotrace_proto.layout import TextOutput, flow, grid, total, widths

_LEAST = 12
_INDENT = 4


def table(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    on: TextOutput,
    *,
    elastic: int,
    right: Sequence[str] = (),
    least: int = _LEAST,
) -> list[str]:
    """The lines of a table. Column `elastic` is shortened, down to `least` columns; where that is
    not enough, each row has several lines. `right` names the columns of numbers."""
    if not fits(head, body, on, elastic=elastic, least=least):
        return [
            line
            for cells in body
            for line in flow([word for cell in cells for word in cell.split()], on, indent=_INDENT)
        ]
    if on.columns is not None:
        wide = widths(head, body)
        room = on.columns - total(wide) + wide[elastic]
        body = [
            (*cells[:elastic], on.fit(cells[elastic], room), *cells[elastic + 1 :])
            for cells in body
        ]
    first, *lines = grid(head, body, right=[heading in right for heading in head], gap=1)
    return [on.bold(first), on.encodable("─") * total(widths(head, body)), *lines]


def fits(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    on: TextOutput,
    *,
    elastic: int,
    least: int = _LEAST,
) -> bool:
    """Whether `table` needs one line for each row."""
    wide = widths(head, body)
    return on.fits(total(wide) - wide[elastic] + min(wide[elastic], least))


def family(name: str, on: TextOutput) -> str:
    """An address family as people write it."""
    return {"ipv4": "IPv4", "ipv6": "IPv6"}.get(name) or on.text(name, most=20)


def words(text: str, on: TextOutput, *, indent: int = 0) -> list[str]:
    """A sentence, wrapped."""
    return flow(on.encodable(text).split(), on, indent=indent)
