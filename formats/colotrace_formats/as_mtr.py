"""The shape of `mtr --json` (mtr 0.95), a document in one line for each target and colo.

mtr has one host a hop. It is the address with the most answers here; the figures are those of all
answers at that TTL, as in mtr. `src` is the colo. mtr has ASNs if asked for; they are here if any
is known.
"""

import math
from collections.abc import Iterator, Sequence

from colotrace_proto import rows
from colotrace_proto.measured import Measured
from colotrace_proto.text import safe

from .answers import Answer, by_ttl, probe_size
from .shown import Row, each, json_parts, pieces

_UNKNOWN_HOST, _UNKNOWN_ASN = "???", "AS???"


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """A line for each row."""
    del follows
    return pieces(_parts(measured))


def _parts(measured: Measured) -> Iterator[str]:
    for row in each(measured):
        hops = row.shown.hops
        asns = any(node.asn not in ("", rows.UNKNOWN_ASN) for hop in hops for node in hop.nodes)
        hubs = (
            _hub(hop, answers, asns=asns) for hop, answers in zip(hops, by_ttl(row), strict=True)
        )
        yield '{"report":'
        if row.trace.gathered.own_ends:
            yield ""  # such a row may have thousands of answers: their order was work enough
        yield from json_parts(_report(row), "hubs", hubs)
        yield "}\n"


def _report(row: Row) -> dict[str, object]:
    """The report without its hubs."""
    report: dict[str, object] = {
        "mtr": {
            "src": safe(row.shown.colo.name),
            "dst": safe(row.target),
            "tos": 0,
            "tests": row.summary.options.packets_per_ttl,
            "psize": str(probe_size(row)),
            "bitpattern": "rand(0x00-FF)",  # mtr's words for it: probes bear a keyed tag
        }
    }
    return report | {"error": row.shown.error} if row.shown.error else report


def _hub(hop: rows.Hop, answers: Sequence[Answer], *, asns: bool) -> dict[str, object]:
    node = hop.nodes[0]
    known = node.packet_count > 0
    hub: dict[str, object] = {
        "count": hop.packets_ttl,
        "host": safe(node.name) if known else _UNKNOWN_HOST,
    }
    if asns:
        hub["ASN"] = node.asn if known and node.asn != rows.UNKNOWN_ASN else _UNKNOWN_ASN
    times = [answer.rtt_ms for answer in answers]
    mean = math.fsum(times) / len(times) if times else 0.0
    sent = hop.packets_sent
    figures = {
        # A hop that was not probed lost nothing, and mtr shows silence as a loss of all.
        "Loss%": 100 * hop.packets_lost / sent if sent else 100.0,
        "Snt": sent,
        "Last": times[-1] if times else 0.0,
        "Avg": mean,
        "Best": min(times, default=0.0),
        "Wrst": max(times, default=0.0),
        "StDev": _deviation(times, mean),
    }
    return hub | {key: each if key == "Snt" else round(each, 3) for key, each in figures.items()}


def _deviation(times: Sequence[float], mean: float) -> float:
    """The sample standard deviation; 0 for fewer than two times. `statistics` would take half a
    millisecond a row."""
    squares = math.fsum((time - mean) ** 2 for time in times)
    return math.sqrt(squares / max(len(times) - 1, 1))
