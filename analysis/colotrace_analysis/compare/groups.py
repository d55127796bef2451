"""Which rows differ in the same way.

Each changed row is in one group, by the first of these that it has: an error; a change of ASes;
other changed addresses, where rows that share a new or a gone address belong together; hops at
another TTL; a target that is unreached or reached; the target's address; loss; RTT.
"""

import enum
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from colotrace_analysis.work import Pace, Steps

from .row_changes import Answer, Compared


class ClusterKind(enum.StrEnum):
    """What its rows have in common."""

    FAILS = "fails"
    WORKS = "works"
    ASN = "asn"
    PATH = "path"
    MOVED = "moved"
    UNREACHED = "unreached"
    REACHED = "reached"
    ADDRESS = "address"
    LOSS = "loss"
    RTT = "rtt"


def groups(changed: Iterable[Compared]) -> Steps[list[tuple[ClusterKind, Sequence[Compared]]]]:
    """The groups of rows that differ, in steps."""
    grouped: list[tuple[ClusterKind, Sequence[Compared]]] = []
    by_kind: defaultdict[ClusterKind, list[Compared]] = defaultdict(list)
    for each in changed:
        by_kind[_kind(each)].append(each)
    for kind, rows in by_kind.items():
        if kind is ClusterKind.PATH:
            found = yield from _connected(rows)
        elif kind in _BY_KEY:
            found = _grouped(rows, _BY_KEY[kind])
        else:
            found = _by_end(rows)
        for group in found:
            grouped.append((kind, group))
            yield
    return grouped


def _kind(row: Compared) -> ClusterKind:
    change = row.change
    if change.answer in (Answer.FAILS, Answer.WORKS):
        return ClusterKind(change.answer.value)
    if change.joined_asns or change.left_asns:
        return ClusterKind.ASN
    if change.appeared or change.went:
        return ClusterKind.PATH
    if change.moved:
        return ClusterKind.MOVED
    if change.answer:
        return ClusterKind(change.answer.value)
    if change.address:
        return ClusterKind.ADDRESS
    return ClusterKind.LOSS if change.loss else ClusterKind.RTT


def _of_asns(row: Compared) -> Hashable:
    return tuple(sorted(row.change.left_asns)), tuple(sorted(row.change.joined_asns))


def _of_moved(row: Compared) -> Hashable:
    """The first hop that moved, and how far; only how far if the target moved too."""
    first, last = row.change.moved[0], row.change.moved[-1]
    if row.target_moved:
        return row.name.target, last.after_ttl - last.before_ttl
    return first.ip, first.after_ttl - first.before_ttl


def _of_address(row: Compared) -> Hashable:
    return row.name.target, tuple(row.change.address or ())


_BY_KEY: dict[ClusterKind, Callable[[Compared], Hashable]] = {
    ClusterKind.ASN: _of_asns,
    ClusterKind.MOVED: _of_moved,
    ClusterKind.ADDRESS: _of_address,
}


def _grouped(
    rows: Sequence[Compared], key: Callable[[Compared], Hashable]
) -> Iterable[list[Compared]]:
    found: defaultdict[Hashable, list[Compared]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found.values()


def _connected(rows: Sequence[Compared]) -> Steps[Iterable[list[Compared]]]:
    """Rows that share a new or a gone address, also by way of others (union-find)."""
    parent = list(range(len(rows)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[tuple[bool, str], int] = {}
    pace = Pace()
    for number, row in enumerate(rows):
        for is_new, hops in ((True, row.change.appeared), (False, row.change.went)):
            for hop in hops:
                other = first.setdefault((is_new, hop.ip), number)
                parent[root(number)] = root(other)
                if pace.full(1):
                    yield
    found: defaultdict[int, list[Compared]] = defaultdict(list)
    for number, row in enumerate(rows):
        found[root(number)].append(row)
    return found.values()


def _by_end(rows: Sequence[Compared]) -> Iterable[list[Compared]]:
    """Rows that changed in one direction, to one target or from one colo: the largest group first,
    so that a colo that is slow to all targets is one finding."""
    found: defaultdict[tuple[bool, bool, str], dict[int, Compared]] = defaultdict(dict)
    for number, row in enumerate(rows):
        found[rises(row), False, row.name.target][number] = row
        found[rises(row), True, row.name.colo][number] = row
    while found:
        best = min(found, key=lambda key: (-len(found[key]), key))
        group = found.pop(best)
        yield list(group.values())
        for number, row in group.items():
            for key in ((best[0], False, row.name.target), (best[0], True, row.name.colo)):
                if key in found:
                    del found[key][number]
                    if not found[key]:
                        del found[key]


def rises(row: Compared) -> bool:
    """Whether its loss, or else its RTT, has increased."""
    change = row.change
    if change.loss:
        loss = change.loss
        return loss.after_lost * loss.before_sent > loss.before_lost * loss.after_sent
    return change.rtt is not None and change.rtt.change_ms > 0
