"""The differences of two measurements: rows aligned by target and colo, and clusters of rows that
differ in the same way. What counts as a difference: docs/comparison.md; why: docs/adr/0020.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec
from colotrace_proto.measured import Measured, Trace
from msgspec.structs import replace

from .compare.bounds import cut_changes, cut_clusters
from .compare.clusters import Cluster, clusters
from .compare.groups import ClusterKind
from .compare.row_changes import (
    Answer,
    ChangedHop,
    Compared,
    LossChange,
    MovedHop,
    Naming,
    RowChange,
    RowName,
    RttChange,
    Unlike,
    compare_rows,
)
from .sentences import counted, listed
from .significance import discoveries
from .work import ROW_LINES, Pace, Steps, Work

__all__ = [
    "Answer",
    "ChangedHop",
    "Cluster",
    "ClusterKind",
    "Diff",
    "LossChange",
    "MovedHop",
    "NotCompared",
    "RowChange",
    "RowName",
    "RttChange",
    "Unlike",
    "diff",
    "work",
]

_WHY = {
    Unlike.ERRORS: "{} not compared: both have an error",
    Unlike.NO_FLOWS: "paths of {} not compared: their agents do not report flows",
    Unlike.OTHER_FLOW: "paths of {} not compared: the probes had other header fields",
    Unlike.OTHER_ADDRESS: "paths of {} not compared: the target has another address",
    Unlike.TOO_FEW: "{} reached their target in one measurement only, with so few probes that this "
    "may be chance",
}


class NotCompared(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of which something could not be compared, and why: only the paths, unless both have an
    error."""

    why: Unlike
    in_words: str
    rows: list[RowName]


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """The differences of measurement `before` to `after`, by their ids.

    `empty`: no difference was found. `rows` counts those that both have, `paths` those of them
    whose paths were compared: with 0 paths, an empty diff says little. `changes` has each row that
    differs. `only_before` and `only_after` are rows that the other has not. `unlike_options` names
    the options that differ; if packet type, port or family do, flows do too. `left_out` counts the
    hops and ASes that `changes` do not list, since there are too many.

    `in_words` is all of it: what was compared, a sentence for each cluster, what was not compared.
    """

    before: str
    after: str
    empty: bool
    in_words: list[str]
    rows: int
    paths: int
    clusters: list[Cluster]
    changes: list[RowChange]
    only_before: list[RowName]
    only_after: list[RowName]
    not_compared: list[NotCompared]
    unlike_options: list[str]
    left_out: int = 0


def diff(before: Measured, after: Measured) -> Diff:
    """The differences of two measurements."""
    return work(before, after).finish()


def work(before: Measured, after: Measured) -> Work[Diff]:
    """The same in steps."""
    return Work(_steps(before, after))


def _steps(before: Measured, after: Measured) -> Steps[Diff]:
    old, new = _by_name(before), _by_name(after)
    yield
    naming = Naming(
        {**before.known.names, **after.known.names}, {**before.known.asns, **after.known.asns}
    )
    yield
    compared: list[Compared] = []
    pace = Pace()
    for name, trace in old.items():
        if name not in new:
            continue
        row = RowName(target=name[0], colo=name[1])
        compared.append((yield from compare_rows(row, trace, new[name], naming)))
        lines = len(trace.gathered.replies.ttl) + len(new[name].gathered.replies.ttl)
        if pace.full(lines + ROW_LINES):
            yield
    _judge_losses(compared)
    differing = sorted((each for each in compared if each.differs), key=lambda each: each.name)
    yield
    found = yield from clusters(differing)
    yield
    yield from cut_clusters(found)
    yield from cut_changes(differing)
    yield
    result = Diff(
        before=before.summary.id,
        after=after.summary.id,
        empty=not differing,
        in_words=[],
        rows=len(compared),
        paths=sum(each.path for each in compared),
        clusters=found,
        changes=[each.change for each in differing],
        only_before=_names(old.keys() - new.keys()),
        only_after=_names(new.keys() - old.keys()),
        not_compared=_not_compared(compared),
        unlike_options=[
            option
            for option in before.summary.options._fields
            if getattr(before.summary.options, option) != getattr(after.summary.options, option)
        ],
        left_out=sum(each.change.left_out for each in differing),
    )
    return replace(result, in_words=list(_in_words(result)))


def _by_name(measured: Measured) -> Mapping[tuple[str, str], Trace]:
    """The rows by target and colo. A target that was asked for twice was traced once."""
    return {
        (trace.gathered.target, trace.gathered.colo.name): trace
        for trace in measured.traces.values()
    }


def _names(rows: set[tuple[str, str]]) -> list[RowName]:
    return [RowName(target=target, colo=colo) for target, colo in sorted(rows)]


def _judge_losses(compared: list[Compared]) -> None:
    """Keep the changes of loss that count, of all that were tested."""
    tested = [each for each in compared if each.loss is not None]
    counts = discoveries([each.loss.p_value for each in tested if each.loss is not None])
    for each, count in zip(tested, counts, strict=True):
        if count:
            each.change = replace(each.change, loss=each.loss)


def _not_compared(compared: list[Compared]) -> list[NotCompared]:
    groups: defaultdict[Unlike, list[RowName]] = defaultdict(list)
    for each in compared:
        if each.unlike is not None:
            groups[each.unlike].append(each.name)
    return [
        NotCompared(
            why=why,
            in_words=_WHY[why].format(counted(len(groups[why]), "row")),
            rows=sorted(groups[why]),
        )
        for why in Unlike
        if why in groups
    ]


def _in_words(result: Diff) -> Iterator[str]:
    differing = len(result.changes)
    found = f"{counted(differing, 'row')} {'differs' if differing == 1 else 'differ'}"
    of_rows = f"{counted(result.rows, 'row')} compared, with the paths of {result.paths:,}"
    yield f"{of_rows}: {found if differing else 'no difference'}"
    yield from (cluster.in_words for cluster in result.clusters)
    for rows, where in ((result.only_before, "before"), (result.only_after, "after")):
        if rows:
            yield f"{counted(len(rows), 'row')} only {where}"
    yield from (each.in_words for each in result.not_compared)
    if result.unlike_options:
        yield f"measured with other options: {listed(result.unlike_options, 'options')}"
    if result.left_out:
        cut = counted(sum(bool(each.left_out) for each in result.changes), "row")
        yield f"too many to list: {result.left_out:,} more changed hops and ASes of {cut}"
