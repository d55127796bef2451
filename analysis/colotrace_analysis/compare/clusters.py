"""Rows that differ in the same way (see `groups`), as one finding each, in one sentence.

Further changes of its rows are counted in a cluster: a path that moved explains a changed RTT.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import msgspec

from colotrace_analysis.sentences import counted, hops_text, listed, ms_text, verb
from colotrace_analysis.significance import FLOOR_NS, FLOOR_SHARE
from colotrace_analysis.work import Pace, Steps

from .groups import ClusterKind, groups, rises
from .row_changes import Answer, Compared, RowChange, RowName

_FLOOR_MS = FLOOR_NS / 1e6


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Rows with the same change, the largest cluster first. `in_words` is one sentence.

    `left_asns`, `joined_asns`, `went` and `appeared` (addresses) are those of any of its rows.
    `min_ttl` and `max_ttl` are where, over all rows; None if no hop is concerned. `median_rtt_ms`
    is the median of the changes of the rows' RTTs; None unless it is beyond the floor and at least
    half of the rows have a changed RTT. `unreached` counts rows whose target does not answer any
    more. `left_out` counts addresses and ASes that are not listed (see `bounds`).
    """

    kind: ClusterKind
    in_words: str
    rows: list[RowName]
    colos: list[str]
    targets: list[str]
    left_asns: list[str]
    joined_asns: list[str]
    went: list[str]
    appeared: list[str]
    min_ttl: int | None
    max_ttl: int | None
    median_rtt_ms: float | None
    unreached: int
    left_out: int = 0


def clusters(changed: Iterable[Compared]) -> Steps[list[Cluster]]:
    """The clusters of rows that differ, in steps."""
    found: list[Cluster] = []
    grouped = yield from groups(changed)
    for kind, rows in grouped:
        yield
        found.append((yield from _cluster(kind, rows)))
    order = list(ClusterKind)
    return sorted(found, key=lambda each: (-len(each.rows), order.index(each.kind), each.rows))


def _cluster(kind: ClusterKind, rows: Sequence[Compared]) -> Steps[Cluster]:
    names = sorted(row.name for row in rows)
    colos = sorted({name.colo for name in names})
    targets = sorted({name.target for name in names})
    changes = [row.change for row in rows]
    went: dict[str, str] = {}
    appeared: dict[str, str] = {}
    ttls: set[int] = set()
    pace = Pace()
    for row in rows:
        for into, hops in ((went, row.change.went), (appeared, row.change.appeared)):
            into.update((hop.ip, hop.name or hop.ip) for hop in hops)
        ttls |= _ttls(kind, row.change)
        if pace.full(2 * (len(row.change.went) + len(row.change.appeared))):
            yield
    cluster = Cluster(
        kind=kind,
        in_words="",
        rows=names,
        colos=colos,
        targets=targets,
        left_asns=_distinct(asn for change in changes for asn in change.left_asns),
        joined_asns=_distinct(asn for change in changes for asn in change.joined_asns),
        went=list(went),
        appeared=list(appeared),
        min_ttl=min(ttls, default=None),
        max_ttl=max(ttls, default=None),
        median_rtt_ms=_median_rtt_ms(rows),
        unreached=sum(change.answer is Answer.UNREACHED for change in changes),
    )
    yield
    return msgspec.structs.replace(cluster, in_words=_in_words(cluster, rows, went | appeared))


def _ttls(kind: ClusterKind, change: RowChange) -> set[int]:
    """Where the change is that the rows have in common."""
    if kind is ClusterKind.ASN:
        return set(change.as_ttls)
    if kind is ClusterKind.PATH:
        return {hop.ttl for hop in (*change.appeared, *change.went)}
    if kind is ClusterKind.MOVED:
        return {ttl for hop in change.moved for ttl in (hop.before_ttl, hop.after_ttl)}
    return set()


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _median_rtt_ms(rows: Sequence[Compared]) -> float | None:
    found = [row.rtt_ms for row in rows if row.rtt_ms is not None]
    if 2 * sum(row.change.rtt is not None for row in rows) < len(rows) or not found:
        return None
    change = median(found)
    before = median(row.before_ms for row in rows if row.before_ms is not None)
    return change if abs(change) > max(_FLOOR_MS, FLOOR_SHARE * before) else None


def _in_words(cluster: Cluster, rows: Sequence[Compared], names: Mapping[str, str]) -> str:
    """One sentence."""
    who, colos = listed(cluster.colos, "colos"), cluster.colos
    to = listed(cluster.targets, "targets")
    at = hops_text(cluster.min_ttl, cluster.max_ttl or 0) if cluster.min_ttl else ""
    match cluster.kind:
        case ClusterKind.FAILS:
            return f"{who}: tracing {to} fails now"
        case ClusterKind.WORKS:
            return f"{who}: tracing {to} works again"
        case ClusterKind.ASN | ClusterKind.PATH:
            if cluster.kind is ClusterKind.ASN:
                old, new = cluster.left_asns, cluster.joined_asns
                both, what = "moved from {} to {}", "ASes"
            else:
                old, new = ([names[ip] for ip in ips] for ips in (cluster.went, cluster.appeared))
                both, what = f"now {verb(colos, 'pass', 'passes')} {{1}} instead of {{0}}", "hops"
            told = _replaced(colos, listed(old, what), listed(new, what), both)
            return f"{who} {told} at {at} on the way to {to}{_consequences(cluster)}"
        case ClusterKind.MOVED:
            return f"{who}: {_moved(rows[0], to)}{_consequences(cluster)}"
        case ClusterKind.UNREACHED:
            return f"{who} no longer {verb(colos, 'reach', 'reaches')} {to}"
        case ClusterKind.REACHED:
            return f"{who} now {verb(colos, 'reach', 'reaches')} {to}"
        case ClusterKind.ADDRESS:
            was, now = rows[0].change.address or ["", ""]
            return f"{who} {verb(colos, 'trace')} {to} at {now} instead of {was}"
        case ClusterKind.LOSS:
            return f"{who}: {_loss(rows, to)}{_other_path(rows)}"
        case ClusterKind.RTT:
            changes = [row.rtt_ms for row in rows if row.rtt_ms is not None]
            size = ms_text(median(changes), signed=True)
            return f"{who}: RTT to {to} {size}{' (median)' * (len(rows) > 1)}{_other_path(rows)}"


def _replaced(colos: Sequence[str], old: str, new: str, both: str) -> str:
    """What is passed instead of what; one of both may be empty."""
    if old and new:
        return both.format(old, new)
    if new:
        return f"now {verb(colos, 'pass', 'passes')} {new}"
    return f"no longer {verb(colos, 'pass', 'passes')} {old}"


def _moved(row: Compared, to: str) -> str:
    if row.target_moved:
        last = row.change.moved[-1]
        more = last.after_ttl - last.before_ttl
        length = f"{counted(abs(more), 'hop')} {'longer' if more > 0 else 'shorter'}"
        return f"the path to {to} is {length}"
    first = row.change.moved[0]
    places = f"from hop {first.before_ttl} to hop {first.after_ttl}"
    return f"{first.name or first.ip} moved {places} on the way to {to}"


def _loss(rows: Sequence[Compared], to: str) -> str:
    losses = [row.change.loss for row in rows if row.change.loss is not None]
    before = sum(loss.before_lost for loss in losses), sum(loss.before_sent for loss in losses)
    after = sum(loss.after_lost for loss in losses), sum(loss.after_sent for loss in losses)
    word = "more" if rises(rows[0]) else "less"
    return (
        f"{word} loss to {to}, {after[0]} of {after[1]} probes, before {before[0]} of {before[1]}"
    )


def _consequences(cluster: Cluster) -> str:
    told = ""
    if cluster.median_rtt_ms is not None:
        size = ms_text(cluster.median_rtt_ms, signed=True)
        told += f", {'median ' * (len(cluster.rows) > 1)}RTT {size}"
    if cluster.unreached == len(cluster.rows):
        told += ", and no longer reached" if not told else "; no longer reached"
    elif cluster.unreached:
        told += f"; {cluster.unreached} of {len(cluster.rows)} no longer reached"
    return told


def _other_path(rows: Sequence[Compared]) -> str:
    """A caveat if none of the rows' paths could be compared."""
    return "" if any(row.path for row in rows) else ", maybe by another path"
