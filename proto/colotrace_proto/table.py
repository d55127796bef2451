"""A colo's row as a table for people, printed by the agent and the operator's command.

There are two forms. If the columns fit, each node has one line: only its name is shortened, down to
`_LEAST_NAME` columns, and labels that do not fit follow on lines of their own. Otherwise each node
has several wrapped lines. Addresses and numbers are never cut.
"""

from collections.abc import Sequence

from msgspec import UNSET

from . import rows
from .layout import GAP, TextOutput, flow, grid, total, widths

_LEAST_NAME = 12
_INDENT = 4
_LONGEST_ASN = len("AS4294967295")
_MOST_OF_A_NOTE = 500
_HEAD = ("TTL", "address", "name", "ASN", "lost", "loss", "min", "mean", "max", "stddev")
_RIGHT = (True, False, False, False, True, True, True, True, True, True)
_NAME = 2
_BEFORE_FIGURES = 4

_Cells = tuple[str, ...]


def trace_table(
    target: str, row: rows.ColoRow, *, on: TextOutput, notes: Sequence[str] = ()
) -> str:
    """One colo's path to one target: heading, nodes, outcome, links and notes, as whole lines.

    A hop has an entry for each address that answered, most packets first. If there are several,
    each has its number of packets. A silent hop has `*`. Times are in milliseconds.
    """
    place = on.text(row.colo.name)
    if row.colo.city:
        place = f"{place} ({on.text(row.colo.city)})"
    heading = flow(f"{on.text(target)} from {place}".split(), on)
    lines = [on.bold(line) for line in heading]
    if row.hops:
        lines += path_lines(row.hops, on)
    lines += flow(_outcome(row, on).split(), on)
    if row.links:
        lines += _links(row.links, on)
    if row.error:
        lines += (on.red(line) for line in flow(on.text(row.error).split(), on))
    for note in notes:
        lines += flow(on.text(note, most=_MOST_OF_A_NOTE).split(), on)
    return "\n".join(lines) + "\n"


def path_lines(hops: Sequence[rows.Hop], on: TextOutput) -> list[str]:
    """The nodes of a path, below a head; `hops` is not empty."""
    body: list[_Cells] = []
    labels: list[list[str]] = []
    for hop in hops:
        loss = 100 * hop.packets_lost / hop.packets_sent if hop.packets_sent else 0.0
        # The numbers of the hop are in its first entry only.
        own = (str(hop.packets_ttl), f"{hop.packets_lost}/{hop.packets_sent}", f"{loss:.0f}%")
        for node in hop.nodes or [rows.SILENCE]:
            ttl, lost, share = own
            own = ("", "", "")
            address, name, asn = _who(node, on)
            if len(hop.nodes) > 1:
                address = f"{address} x{node.packet_count}"
            body.append((ttl, address, name, asn, lost, share, *_times(node)))
            labels.append([on.text(label) for label in node.labels or ()])
    wide = widths(_HEAD, body)
    fixed = total(wide) - wide[_NAME]
    least = min(wide[_NAME], _LEAST_NAME)
    if on.fits(fixed + least):
        return _in_columns(body, labels, on, fixed=fixed, least=least)
    return _flowing(body, labels, on)


def _in_columns(
    body: list[_Cells], labels: list[list[str]], on: TextOutput, *, fixed: int, least: int
) -> list[str]:
    """One line for each node; its labels follow on the line or, if they do not fit, below it."""
    joined = [" ".join(each) for each in labels]
    columns = max(widths(["labels"], [[each] for each in joined])) if any(joined) else 0
    beside = columns > 0 and on.fits(fixed + least + GAP + columns)
    if on.columns is not None:
        room = on.columns - fixed - (GAP + columns if beside else 0)
        body = [(*cells[:_NAME], on.fit(cells[_NAME], room), *cells[_NAME + 1 :]) for cells in body]
    if beside:
        body = [(*cells, text) for cells, text in zip(body, joined, strict=True)]
    head = (*_HEAD, "labels") if beside else _HEAD
    first, *lines = grid(head, body, right=(*_RIGHT, False)[: len(head)])
    drawn = [on.bold(first), on.encodable("─") * total(widths(head, body))]
    for line, below in zip(lines, labels, strict=True):
        drawn.append(line)
        if below and not beside:
            drawn += _indented(below, on)
    return drawn


def _flowing(body: list[_Cells], labels: list[list[str]], on: TextOutput) -> list[str]:
    """Several lines for each node: its address, name and ASN, its numbers, its labels."""
    head = flow(("TTL", "address", "name", "ASN"), on)
    head += _indented(("lost", "loss", "min/mean/max/stddev", "ms"), on)
    lines = [on.bold(line) for line in head] + [on.encodable("─") * (on.columns or 0)]
    for cells, below in zip(body, labels, strict=True):
        ttl, address, name, asn = cells[:_BEFORE_FIGURES]
        room = max((on.columns or 0) - _INDENT, 1)
        words = [word for word in (*address.split(), on.fit(name, room), asn) if word]
        lines += _indented(words, on, ttl=ttl)
        figures = [cell for cell in cells[_BEFORE_FIGURES : _BEFORE_FIGURES + 2] if cell]
        figures += _times_in_words(cells[_BEFORE_FIGURES + 2 :], on)
        for words in (figures, below):
            if words:
                lines += _indented(words, on)
    return lines


def _times_in_words(times: Sequence[str], on: TextOutput) -> list[str]:
    """The times as one word, or as several if one is too wide."""
    if not any(times):
        return []
    together = "/".join(times)
    if on.fits(_INDENT + len(together)):
        return [together]
    return [f"{time}/" for time in times[:-1]] + [times[-1]]


def _links(links: Sequence[rows.Link], on: TextOutput) -> list[str]:
    head = ("TTL", "link from", "to", "flows")
    body = [
        (str(link.ttl), on.text(link.near), on.text(link.far), str(link.flows)) for link in links
    ]
    wide = total(widths(head, body))
    if on.fits(wide):
        first, *lines = grid(head, body, right=(True, False, False, True))
        return [on.bold(first), on.encodable("─") * wide, *lines]
    lines = [on.bold(line) for line in flow(head, on)] + [on.encodable("─") * (on.columns or 0)]
    for ttl, near, far, flows in body:
        lines += _indented((near, far, flows), on, ttl=ttl)
    return lines


def _indented(words: Sequence[str], on: TextOutput, *, ttl: str = "") -> list[str]:
    """The words in indented lines; the TTL fills the indentation of the first."""
    first, *lines = flow(words, on, indent=_INDENT, first=_INDENT)
    return [f"{ttl:>{_INDENT - 1}} {first[_INDENT:]}", *lines]


def _who(node: rows.Node, on: TextOutput) -> tuple[str, str, str]:
    """Address, name and ASN; empty if unknown, or if the name is the address."""
    if not node.packet_count:
        return ("*", "", "")
    name = "" if node.name == node.ip else on.text(node.name)
    asn = "" if node.asn == rows.UNKNOWN_ASN else on.text(node.asn, most=_LONGEST_ASN)
    return (on.text(node.ip), name, asn)


def _outcome(row: rows.ColoRow, on: TextOutput) -> str:
    """One sentence about the target."""
    target = row.target_summary
    took = f"in {row.traceroute_time_ms} ms"
    if not target.packet_count:
        what = f"{on.text(target.ip)} not reached" if target.ip else "no address was traced"
        return f"{what} {took}" if row.hops else what
    times = "/".join(_times(target))
    answers = "1 answer" if target.packet_count == 1 else f"{target.packet_count} answers"
    if target.mean_rtt_ms is UNSET:
        return f"{on.text(target.ip)} reached, {answers} that tell no time, {took}"
    return f"{on.text(target.ip)} reached, {answers}, min/mean/max/stddev {times} ms, {took}"


def _times(what: rows.Node | rows.TargetSummary) -> list[str]:
    """Minimum, mean, maximum and standard deviation; empty texts if there are none."""
    times = (what.min_rtt_ms, what.mean_rtt_ms, what.max_rtt_ms, what.std_dev_rtt_ms)
    return ["" if time is UNSET else f"{time:.3f}" for time in times]
