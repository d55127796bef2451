"""A colo's row as people read it on a terminal.

Everything that came over the network is made plain first: a name is whatever its owner's DNS
says, and a terminal obeys some characters. Nothing is parsed as markup.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from . import rows
from .text import safe

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

_WIDEST_IPV4 = "255.255.255.255"
_SHORT_LABELS = 8
_LONGEST_ASN = len("AS4294967295")
_WIDTH_OF_A_FILE = 200


def console() -> "Console":
    """Standard output, for `trace_table`: as wide as the terminal; wide where it is a file."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(
        width=None if terminal else _WIDTH_OF_A_FILE, highlight=False, markup=False, emoji=False
    )


def trace_table(target: str, row: rows.ColoRow, *, notes: Sequence[str] = ()) -> "Group":
    """One colo's path to one target: a heading, a line for each node, the outcome, the notes.

    A hop has a line for each address that answered, most packets first, each with its number of
    packets where there are several; one where nothing answered has `*`. Times are in milliseconds.
    Behind the outcome stand the links, where load-balanced paths were asked for.
    """
    # rich is loaded only where a table is drawn: the agent and the command start without it.
    from rich.console import Group, RenderableType
    from rich.text import Text

    place = safe(row.colo.name)
    if row.colo.city:
        place = f"{place} ({safe(row.colo.city)})"
    parts: list[RenderableType] = [Text(f"{safe(target)} from {place}", style="bold")]
    if row.hops:
        parts.append(_hops(row.hops))
    parts.append(Text(_outcome(row)))
    if row.links:
        parts.append(_links(row.links))
    if row.error:
        parts.append(Text(safe(row.error), style="red"))
    parts.extend(Text(safe(note, most=500)) for note in notes)
    return Group(*parts)


def _hops(hops: Sequence[rows.Hop]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    nodes = [node for hop in hops for node in hop.nodes]
    addresses = [node.ip for node in nodes]
    labels = [_labels(node) for node in nodes]
    labelled = any(labels)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("TTL", justify="right", no_wrap=True)
    # What is short is never folded; IPv6 addresses, names and long labels share what is left.
    table.add_column("address", overflow="fold", no_wrap=_longest(addresses) <= len(_WIDEST_IPV4))
    table.add_column("name", overflow="fold")
    table.add_column("ASN", no_wrap=True)
    for heading in ("lost", "loss", "min", "mean", "max", "stddev"):
        table.add_column(heading, justify="right", no_wrap=True)
    if labelled:
        table.add_column("labels", overflow="fold", no_wrap=_longest(labels) <= _SHORT_LABELS)

    for hop in hops:
        loss = 100 * hop.packets_lost / hop.packets_sent if hop.packets_sent else 0.0
        # A hop's own figures stand on its first line only.
        own = (str(hop.packets_ttl), f"{hop.packets_lost}/{hop.packets_sent}", f"{loss:.0f}%")
        for node in hop.nodes or [rows.SILENCE]:
            ttl, lost, share = own
            own = ("", "", "")
            address, name, asn = _who(node)
            if len(hop.nodes) > 1:
                address = f"{address} x{node.packet_count}"
            cells = [ttl, address, name, asn, lost, share, *(_ms(t) for t in _times(node))]
            if labelled:
                cells.append(_labels(node))
            table.add_row(*(Text(cell) for cell in cells))
    return table


def _links(links: Sequence[rows.Link]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("TTL", justify="right", no_wrap=True)
    for heading in ("link from", "to"):
        table.add_column(heading, overflow="fold")
    table.add_column("flows", justify="right", no_wrap=True)
    for link in links:
        cells = (str(link.ttl), safe(link.near), safe(link.far), str(link.flows))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _who(node: rows.Node) -> tuple[str, str, str]:
    """Address, name and ASN; what is not known, or would say the address twice, stays empty."""
    if not node.packet_count:
        return ("*", "", "")
    name = "" if node.name == node.ip else safe(node.name)
    asn = "" if node.asn == rows.UNKNOWN_ASN else safe(node.asn, most=_LONGEST_ASN)
    return (safe(node.ip), name, asn)


def _labels(node: rows.Node) -> str:
    return " ".join(safe(label) for label in node.labels or ())


def _longest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0)


def _outcome(row: rows.ColoRow) -> str:
    """The target as a whole, in one line."""
    target = row.target_summary
    took = f"in {row.traceroute_time_ms} ms"
    if not target.packet_count:
        what = f"{safe(target.ip)} not reached" if target.ip else "no address was traced"
        return f"{what} {took}" if row.hops else what
    times = "/".join(
        _ms(time)
        for time in (
            target.min_rtt_ms,
            target.mean_rtt_ms,
            target.max_rtt_ms,
            target.std_dev_rtt_ms,
        )
    )
    answers = "1 answer" if target.packet_count == 1 else f"{target.packet_count} answers"
    if target.mean_rtt_ms is UNSET:
        return f"{safe(target.ip)} reached, {answers} that tell no time, {took}"
    return f"{safe(target.ip)} reached, {answers}, min/mean/max/stddev {times} ms, {took}"


def _times(node: rows.Node) -> tuple[float | UnsetType, ...]:
    return (node.min_rtt_ms, node.mean_rtt_ms, node.max_rtt_ms, node.std_dev_rtt_ms)


def _ms(time: float | UnsetType) -> str:
    return "" if time is UNSET else f"{time:.3f}"
