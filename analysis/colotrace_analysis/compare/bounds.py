"""How much of a difference is listed. A row with many flows may have thousands of changed hops.

Lists are cut after all has been compared, clustered and told: sentences count everything.
"""

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from colotrace_analysis.work import Pace, Steps

from .clusters import Cluster
from .row_changes import Compared, RowChange

MOST = 50_000
"""Entries of each list of a row's change, over all rows that differ, in equal parts; those of all
clusters once more. With 3,000 rows, each lists the hops of a path of 16."""
_OF_CHANGE = ("went", "appeared", "moved", "left_asns", "joined_asns")
_OF_CLUSTER = ("went", "appeared", "left_asns", "joined_asns")

_T = TypeVar("_T", RowChange, Cluster)


def cut_changes(differing: Sequence[Compared]) -> Steps[None]:
    """Cut the rows' changes. What is left out is freed row by row."""
    most = max(MOST // max(len(differing), 1), 1)
    pace = Pace()
    for each in differing:
        change = each.change
        lines = len(change.went) + len(change.appeared) + len(change.moved)
        each.change = _cut(change, _OF_CHANGE, most)
        del change
        if pace.full(lines):
            yield


def cut_clusters(found: list[Cluster]) -> Steps[None]:
    """Cut the clusters, in place."""
    most = max(MOST // max(len(found), 1), 1)
    pace = Pace()
    for place, each in enumerate(found):
        found[place] = _cut(each, _OF_CLUSTER, most)
        if pace.full(len(each.went) + len(each.appeared)):
            yield


def _cut(item: _T, names: Sequence[str], most: int) -> _T:
    long = {name: whole for name in names if len(whole := getattr(item, name)) > most}
    if not long:
        return item
    left_out = sum(len(whole) - most for whole in long.values())
    return replace(item, left_out=left_out, **{name: whole[:most] for name, whole in long.items()})
