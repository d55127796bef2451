"""CSV (RFC 4180, with line feeds): a line for each node, under a line with the columns' names.

A silent hop has a line without an address. So has a row without hops, whose TTL is empty as well.
"""

import csv
import io
from collections.abc import Iterator

from colotrace_proto import rows
from colotrace_proto.measured import Measured
from colotrace_proto.text import safe
from msgspec import UNSET, UnsetType

from .shown import Row, steps, time_text

COLUMNS = (
    "measurement",
    "began_at",
    "target",
    "target_ip",
    "colo",
    "city",
    "error",
    "ttl",
    "packets_sent",
    "packets_lost",
    "ip",
    "name",
    "asn",
    "packet_count",
    "min_rtt_ms",
    "mean_rtt_ms",
    "max_rtt_ms",
    "std_dev_rtt_ms",
    "labels",
)
_NO_HOP = ("",) * 12
_MOST = 2_000
# A spreadsheet computes a cell that begins with one of these, in Excel also by its full-width form.
_FORMULA = tuple("=+-@＝＋－＠")  # noqa: RUF001 - those forms


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """A line for each node; the names of the columns unless it follows other lines."""
    paper = io.StringIO()
    writer = csv.writer(paper, lineterminator="\n")
    if not follows:
        writer.writerow(COLUMNS)
        yield _taken(paper)
    for step in steps(measured):
        for row in step:
            writer.writerows(_lines(row))
        yield _taken(paper)


def _lines(row: Row) -> Iterator[tuple[object, ...]]:
    shown = row.shown
    place = (
        row.summary.id,
        time_text(row.trace.began_ms),
        _cell(row.target),
        shown.target_summary.ip,
        _cell(shown.colo.name),
        _cell(shown.colo.city),
        shown.error,
    )
    if not shown.hops:
        yield (*place, *_NO_HOP)
    for hop in shown.hops:
        probes = (hop.packets_ttl, hop.packets_sent, hop.packets_lost)
        for node in hop.nodes:
            yield (*place, *probes, *_node(node))


def _node(node: rows.Node) -> tuple[object, ...]:
    if not node.packet_count:
        return ("", "", "", 0, "", "", "", "", "")
    return (
        node.ip,
        "" if node.name == node.ip else _cell(node.name),
        "" if node.asn == rows.UNKNOWN_ASN else _cell(node.asn),
        node.packet_count,
        _time(node.min_rtt_ms),
        _time(node.mean_rtt_ms),
        _time(node.max_rtt_ms),
        _time(node.std_dev_rtt_ms),
        _cell(" ".join(node.labels or ())),
    )


def _time(rtt_ms: float | UnsetType) -> str:
    return "" if rtt_ms is UNSET else f"{rtt_ms:.6f}"


def _cell(text: str) -> str:
    """Untrusted text, without control characters, and nothing that a spreadsheet computes."""
    text = safe(text, most=_MOST)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _taken(paper: io.StringIO) -> str:
    text = paper.getvalue()
    paper.seek(0)
    paper.truncate()
    return text
