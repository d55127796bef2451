"""One line for each colo: whether it reached the target, and what differs from the others."""

from collections import Counter
from collections.abc import Sequence

from colotrace_proto import rows
from colotrace_proto.layout import TextOutput, flow
from colotrace_proto.text import safe
from msgspec import UNSET

from .tables import fits, table

_HEAD = ("colo", "city", "reached", "loss", "mean ms", "hops", "differs")
_CITY, _DIFFERS = _HEAD.index("city"), _HEAD.index("differs")
_ALWAYS = (_HEAD.index("colo"), _HEAD.index("reached"))
_LEAST_CITY, _LEAST_DIFFERS = 12, 45
_RIGHT = ("loss", "mean ms", "hops")
_LEAST_TO_COMPARE = 3
"""With two colos nobody can say which of them differs."""


def overview(
    target: rows.TargetRow, on: TextOutput, *, notes: Sequence[Sequence[str]] = ()
) -> list[str]:
    """A heading and a line for each colo of a target. `notes` are each colo's messages."""
    reached = sum(1 for row in target.colos if row.target_summary.packet_count)
    heading = f"{on.text(target.target)}: reached from {reached} of {len(target.colos)} colos"
    different = differences(target.colos)
    body = []
    for c, row in enumerate(target.colos):
        words = list(different[c])
        if row.error and c < len(notes) and notes[c]:
            words.append(notes[c][0])
        body.append(
            (
                on.text(row.colo.name),
                on.text(row.colo.city),
                _reached(row),
                _loss(row),
                _mean(row),
                str(last_answered(row.hops) or ""),
                on.text("; ".join(words), most=200),
            )
        )
    return [*(on.bold(line) for line in flow(heading.split(), on)), *_table(body, on)]


def _table(body: Sequence[Sequence[str]], on: TextOutput) -> list[str]:
    """The lines; a terminal that is too narrow for all columns loses the city, and what differs
    gets lines of its own."""
    used = [at for at in range(len(_HEAD)) if at in _ALWAYS or any(cells[at] for cells in body)]
    for left_out in ((), (_CITY,), (_CITY, _DIFFERS)):
        kept = [at for at in used if at not in left_out]
        head = [_HEAD[at] for at in kept]
        lines = [[cells[at] for at in kept] for cells in body]
        elastic = len(kept) - 1 if _DIFFERS in kept else kept.index(_CITY) if _CITY in kept else 0
        least = _LEAST_DIFFERS if _DIFFERS in kept else _LEAST_CITY
        if fits(head, lines, on, elastic=elastic, least=least):
            break
    drawn = table(head, lines, on, elastic=elastic, right=_RIGHT, least=least)
    if _DIFFERS in kept or len(drawn) != len(body) + 2:
        return drawn
    first, rule, *rest = drawn
    lines_of = []
    for row, cells in zip(rest, body, strict=True):
        lines_of.append(row)
        if cells[_DIFFERS]:
            lines_of += flow(cells[_DIFFERS].split(), on, indent=2, first=2)
    return [first, rule, *lines_of]


def last_answered(hops: Sequence[rows.Hop]) -> int:
    """TTL of the last hop that answered; 0 if none did."""
    return max((hop.packets_ttl for hop in hops if _answered(hop)), default=0)


def differences(colos: Sequence[rows.ColoRow]) -> list[list[str]]:
    """For each colo, what most others do otherwise: in words, not yet safe to print.

    Round-trip times are not compared: they differ from place to place.
    """
    address = _usual([row.target_summary.ip for row in colos if row.target_summary.ip])
    before = [_before(row) for row in colos]
    usual_before = _usual([asn for asn in before if asn])
    lossless = _usual([str(bool(_lost(row))) for row in colos if row.target_summary.packet_count])
    found: list[list[str]] = []
    for row, asn in zip(colos, before, strict=True):
        words = []
        summary = row.target_summary
        if not summary.packet_count and row.hops:
            words.append(_ends(row))
        elif lossless == "False" and _lost(row):
            words.append("loses packets")
        if address and summary.ip and summary.ip != address:
            words.append(f"goes to {summary.ip}")
        if usual_before and asn and asn != usual_before:
            words.append(f"by {asn}, others by {usual_before}")
        found.append(words)
    return found


def _usual(values: Sequence[str]) -> str | None:
    """The value of more than half, if there are enough to tell."""
    if len(values) < _LEAST_TO_COMPARE:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None


def _before(row: rows.ColoRow) -> str:
    """The AS that the path crosses last before the target's own; "" if unknown."""
    own = row.target_summary.asn
    if not row.target_summary.packet_count or not own.startswith("AS"):
        return ""
    for hop in reversed(row.hops):
        asns = {node.asn for node in hop.nodes if node.asn.startswith("AS")}
        if asns and own not in asns:
            return min(asns)
    return ""


def _ends(row: rows.ColoRow) -> str:
    answered = [hop for hop in row.hops if _answered(hop)]
    if not answered:
        return "no hop answers"
    last = answered[-1]
    node = last.nodes[0]
    where = f"{node.ip} ({node.asn})" if node.asn.startswith("AS") else node.ip
    labels = [] if node.labels is UNSET else [label for label in node.labels if label[:1] == "!"]
    return " ".join([f"ends at hop {last.packets_ttl}, {where}", *labels])


def _answered(hop: rows.Hop) -> bool:
    return any(node.packet_count for node in hop.nodes)


def _reached(row: rows.ColoRow) -> str:
    if row.error:
        return f"error {safe(row.error.rpartition(' ')[2], most=4)}"
    return "yes" if row.target_summary.packet_count else "no"


def _lost(row: rows.ColoRow) -> int:
    return row.hops[-1].packets_lost if row.hops else 0


def _loss(row: rows.ColoRow) -> str:
    """Loss at the target."""
    if not row.hops or not row.target_summary.packet_count or not row.hops[-1].packets_sent:
        return ""
    return f"{100 * row.hops[-1].packets_lost / row.hops[-1].packets_sent:.0f}%"


def _mean(row: rows.ColoRow) -> str:
    mean = row.target_summary.mean_rtt_ms
    return "" if mean is UNSET else f"{mean:.3f}"
