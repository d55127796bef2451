"""What is new of a row that is being traced. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from colotrace_proto.rows import ColoRow, Hop, TargetSummary


class News(NamedTuple):
    """What is new of a row. `fresh`: hops that were told earlier no longer hold."""

    hops: list[Hop]
    target_summary: TargetSummary
    fresh: bool


class Told:
    """What was told last of one row."""

    __slots__ = ("_hops", "_target_summary")

    def __init__(self) -> None:
        self._hops: Sequence[Hop] = ()
        self._target_summary: TargetSummary | None = None

    def news(self, row: ColoRow) -> News | None:
        """The hops of the row that are new or changed, by TTL; None if nothing is new. The row is
        then told. A row that has become shorter begins anew: its target has answered at a lower
        TTL, or another agent traces it."""
        hops, earlier = row.hops, self._hops
        fresh = len(hops) < len(earlier)
        if fresh:
            earlier = ()
        changed = [hop for hop, was in zip(hops, earlier, strict=False) if hop != was]
        changed += hops[len(earlier) :]
        if not changed and not fresh and row.target_summary == self._target_summary:
            return None
        self._hops, self._target_summary = hops, row.target_summary
        return News(changed, row.target_summary, fresh)
