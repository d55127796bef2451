"""Differences of two measurements of one row, in short forms."""

from colotrace_analysis.diff import Diff, diff
from colotrace_proto.measured import Trace
from unit.analysis.written import measured

PATH = ("a", "b", "c", "T")


def between(before: Trace, after: Trace, **asns: str) -> Diff:
    """Of two measurements of one row."""
    return diff(measured(before, asns=asns), measured(after, asns=asns, number=1))


def hops(changes: Diff, side: str) -> list[str]:
    (change,) = changes.changes
    return [f"{hop.ttl}{chr(int(hop.ip.split('.')[3]))}" for hop in getattr(change, side)]


def moved(changes: Diff) -> list[tuple[str, int, int]]:
    (change,) = changes.changes
    return [(hop.ip, hop.before_ttl, hop.after_ttl) for hop in change.moved]


def sentence(changes: Diff) -> str:
    (cluster,) = changes.clusters
    return cluster.in_words
