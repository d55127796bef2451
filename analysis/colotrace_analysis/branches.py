"""Paths from the API's rows, as a tree that begins at the target and ends at the colos."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from colotrace_proto import rows
from colotrace_proto.layout import TextOutput
from msgspec import UNSET

_Key = tuple[str, ...]
"""The addresses of a hop; () is silence."""
_SILENT: _Key = ()
_NO_ANSWER: _Key = ("",)
"""In place of the hops at the end of a path that did not reach the target."""


@dataclass(slots=True)
class LeafColo:
    """A colo and how the target answered it. `told` is what to say instead of an RTT."""

    name: str
    rtt_ms: float | None
    told: str
    lost: int
    sent: int


@dataclass(slots=True)
class Branch:
    """A hop, as seen from the target: what comes before it, and the colos whose path begins
    here."""

    label: str
    ends: list[LeafColo] = field(default_factory=list)
    before: dict[_Key, "Branch"] = field(default_factory=dict)
    colos: list[LeafColo] = field(default_factory=list)
    """All that pass it."""


def grown(target: rows.TargetRow, on: TextOutput) -> Branch:
    """The tree of the rows that have hops."""
    seen = [row for row in target.colos if row.hops]
    paths = _filled([[_key(hop) for hop in row.hops] for row in seen])
    addresses = sorted({row.target_summary.ip for row in target.colos if row.target_summary.ip})
    shown = f" ({', '.join(addresses[:2])}{', …' * (len(addresses) > 2)})"
    root = Branch(on.text(target.target) + shown * bool(addresses and addresses != [target.target]))
    labels = _labels(seen, on)
    for row, path in zip(seen, paths, strict=True):
        summary = row.target_summary
        rtt_ms = None if summary.mean_rtt_ms is UNSET else summary.mean_rtt_ms
        last = row.hops[-1]
        told = "answers without RTT" if summary.packet_count else "no answer"
        colo = LeafColo(on.text(row.colo.name), rtt_ms, told, last.packets_lost, last.packets_sent)
        branch = root
        branch.colos.append(colo)
        for key in _from_target(path, reached=rtt_ms is not None):
            branch = branch.before.setdefault(key, Branch(labels[key]))
            branch.colos.append(colo)
        branch.ends.append(colo)
    return root


def _from_target(path: Sequence[_Key], *, reached: bool) -> Iterator[_Key]:
    """The hops from the target, which is left out, back to the colo."""
    if reached:
        yield from reversed(path[:-1])
        return
    answered = len(path)
    while answered and path[answered - 1] == _SILENT:
        answered -= 1
    yield _NO_ANSWER
    yield from reversed(path[:answered])


def _key(hop: rows.Hop) -> _Key:
    return tuple(sorted(node.ip for node in hop.nodes if node.packet_count))


def _labels(seen: Sequence[rows.ColoRow], on: TextOutput) -> Mapping[_Key, str]:
    labels = {_SILENT: "*", _NO_ANSWER: "no answer"}
    for row in seen:
        for hop in row.hops:
            key = _key(hop)
            if key in labels:
                continue
            node = min((node for node in hop.nodes if node.packet_count), key=lambda node: node.ip)
            asn = f" {on.text(node.asn)}" if node.asn not in ("", rows.UNKNOWN_ASN) else ""
            more = f" +{len(key) - 1}" if len(key) > 1 else ""
            labels[key] = on.text(node.name) + asn + more
    return labels


def _filled(paths: list[list[_Key]]) -> list[list[_Key]]:
    """The paths, with silent hops replaced where all others that answered between the same two hops
    met the same."""
    gaps = {gap for path in paths for _, gap in _gaps(path)}
    spans = {len(between) for _, between, _ in gaps}
    met: defaultdict[tuple[_Key, int, _Key], set[tuple[_Key, ...]]] = defaultdict(set)
    for path in paths:
        for count in spans:
            for start in range(len(path) - count - 1):
                between = tuple(path[start + 1 : start + count + 1])
                if _SILENT not in between:
                    met[path[start], count, path[start + count + 1]].add(between)
    filled = []
    for path in paths:
        new = list(path)
        for start, (near, between, far) in _gaps(path):
            candidates = met.get((near, len(between), far), set())
            if len(candidates) == 1:
                (new[start + 1 : start + 1 + len(between)],) = candidates
        filled.append(new)
    return filled


def _gaps(path: Sequence[_Key]) -> Iterator[tuple[int, tuple[_Key, tuple[_Key, ...], _Key]]]:
    """Where silence begins, less one; the hop before, the silent hops, the hop after."""
    last = None
    for place, key in enumerate(path):
        if key == _SILENT:
            continue
        if last is not None and place - last > 1:
            yield last, (path[last], tuple(path[last + 1 : place]), key)
        last = place
