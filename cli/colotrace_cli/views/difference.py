"""The differences of two measurements, for people."""

from collections.abc import Iterator, Sequence

from colotrace_proto.layout import TextOutput, flow

from colotrace_cli.api.shapes import ChangedHop, Cluster, Difference, MovedHop, RowChange

from .tables import words

FEW = 4
"""Up to so many rows are printed in full."""
_MOST_HOPS = 40
"""Changed hops of a row that are printed, unless all are asked for: more than a path has."""
NOTHING = "nothing was compared"
_INDENT = 2
_ENDS = {
    "fails": "has an error now",
    "works": "has no error any more",
    "unreached": "the target does not answer any more",
    "reached": "the target answers now",
}


def difference(found: Difference, on: TextOutput, *, full: bool = False) -> list[str]:
    """What was compared, each cluster with its members, what was not compared; then each row that
    differs, if they are few or `full`."""
    sentences = found.in_words or [NOTHING]
    first, rest = sentences[0], sentences[1 + len(found.clusters) :]
    lines = [on.bold(line) for line in words(on.text(first, most=500), on)]
    for cluster in found.clusters:
        lines += words(on.text(cluster.in_words, most=500), on, indent=_INDENT)
        lines += _members(cluster, on)
    for sentence in rest:
        lines += words(on.text(sentence, most=500), on)
    if full or len(found.changes) <= FEW:
        for change in found.changes:
            lines += ["", *_row(change, on, full=full)]
    return lines


def members(cluster: Cluster) -> list[str]:
    """The colos of a cluster, each with its targets if these are not all the same."""
    targets = {row.target for row in cluster.rows}
    if len(targets) <= 1:
        return [row.colo for row in cluster.rows]
    return [f"{row.colo}→{row.target}" for row in cluster.rows]


def details(change: RowChange, *, full: bool = False) -> Iterator[str]:
    """What differs in a row, one thing each; not yet safe to print. Many hops are counted."""
    if change.answer:
        yield _ENDS.get(change.answer, change.answer)
    if change.address:
        yield f"the target's address: {' → '.join(change.address)}"
    if change.left_asns or change.joined_asns:
        yield f"ASes: {_signed('-', change.left_asns)} {_signed('+', change.joined_asns)}".strip()
    hops = list(_hops(change))
    shown = len(hops) if full else min(len(hops), _MOST_HOPS)
    yield from hops[:shown]
    if shown < len(hops):
        yield f"and {len(hops) - shown:,} more changed hops (colotrace diff --full)"
    if change.left_out:
        yield f"and {change.left_out:,} more changed hops and ASes, too many to list"
    if change.loss:
        loss = change.loss
        yield (f"lost: {loss.before_lost}/{loss.before_sent} → {loss.after_lost}/{loss.after_sent}")
    if change.rtt:
        rtt = change.rtt
        yield f"RTT: {rtt.before_ms:.3f} → {rtt.after_ms:.3f} ms ({rtt.change_ms:+.3f} ms)"


def _hops(change: RowChange) -> Iterator[str]:
    hops = [*((hop.ttl, "-", hop) for hop in change.went)]
    hops += [(hop.ttl, "+", hop) for hop in change.appeared]
    for ttl, sign, hop in sorted(hops, key=lambda each: (each[0], each[1] == "+")):
        yield f"hop {ttl}: {sign} {_who(hop)}"
    for moved in change.moved:
        yield f"hop {moved.before_ttl} → {moved.after_ttl}: {_who(moved)}"


def _members(cluster: Cluster, on: TextOutput) -> list[str]:
    names = [on.text(on.encodable(name)) for name in members(cluster)]
    if len(names) <= 1:
        return []
    return flow(names, on, indent=2 * _INDENT, first=2 * _INDENT)


def _row(change: RowChange, on: TextOutput, *, full: bool) -> list[str]:
    heading = f"{on.text(change.target)} from {on.text(change.colo)}"
    lines = [on.bold(line) for line in flow(heading.split(), on)]
    for each in details(change, full=full):
        parts = on.text(each, most=500).split()
        lines += flow(parts, on, indent=2 * _INDENT, first=_INDENT)
    return lines


def _signed(sign: str, names: Sequence[str]) -> str:
    return " ".join(f"{sign}{name}" for name in names)


def _who(hop: ChangedHop | MovedHop) -> str:
    known = [part for part in (hop.name if hop.name != hop.ip else "", hop.asn) if part]
    return f"{hop.ip} ({', '.join(known)})" if known else hop.ip
