"""What a row shows while its agent traces. Pure; times are in seconds on any one clock.

An agent reports how many probes it has sent, and the replies. A probe without a reply is not lost
yet: it is waited for. The coordinator does not know when a probe was sent, but it was before its
report came. So a probe is lost if it has no reply `wait` after the report, and the time that the
reply may have been on its way from the agent. Replies of later probes may hide a loss for a while,
so that loss is never overstated.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from colotrace_proto.rows import ColoRow, Hop, TargetSummary
from msgspec.structs import replace

TRAVEL_S = 0.5
"""How long a reply may take from the agent's socket to its row here."""


class SentCounts:
    """The counts of sent probes that one agent has reported for a job, at TTL 1, 2, 3 …"""

    __slots__ = ("_over", "_reports", "_wait_s")

    def __init__(self, *, wait_s: float, travel_s: float = TRAVEL_S) -> None:
        """`wait_s`: how long the agent waits for a reply."""
        self._wait_s = wait_s + travel_s
        self._over: tuple[int, ...] = ()
        # Reports whose probes may still be waited for: when they will not be, and the counts.
        self._reports: deque[tuple[float, tuple[int, ...]]] = deque()

    def report(self, now: float, sent: tuple[int, ...]) -> None:
        """The agent has reported its counts."""
        if sent and sent != (self._reports[-1][1] if self._reports else self._over):
            self._reports.append((now + self._wait_s, sent))

    def over(self, now: float) -> tuple[int, ...]:
        """Probes at each TTL whose patience is over. `now` must not decrease; while the agent's
        stream is down, it is the time when the stream went down."""
        while self._reports and self._reports[0][0] <= now:
            self._over = self._reports.popleft()[1]
        return self._over

    @property
    def next_at(self) -> float | None:
        """When `over` changes next."""
        return self._reports[0][0] if self._reports else None


def so_far(rows: Sequence[ColoRow], over: Sequence[Sequence[int]]) -> list[ColoRow]:
    """Rows that are being traced, from those that `tally` makes of their replies. `over`:
    `SentCounts.over` of each row.

    `packets_lost` counts probes whose patience is over. A row ends at the last hop that tells
    something: an answer or a loss.
    """
    return [
        replace(row, hops=_hops(row.hops, counts)) for row, counts in zip(rows, over, strict=True)
    ]


def _hops(hops: Sequence[Hop], over: Sequence[int]) -> list[Hop]:
    shown: list[Hop] = []
    end = 0
    for hop, count in zip(hops, chain(over, repeat(0)), strict=False):
        answers = hop.packets_sent - hop.packets_lost
        lost = max(min(count, hop.packets_sent) - answers, 0)
        if lost != hop.packets_lost:
            hop = Hop(hop.packets_ttl, hop.packets_sent, lost, hop.nodes)
        shown.append(hop)
        if answers or lost:
            end = len(shown)
    del shown[end:]
    return shown


class News(NamedTuple):
    """What is new of a row. `fresh`: hops that were told earlier no longer hold."""

    hops: list[Hop]
    target_summary: TargetSummary
    fresh: bool


class Told:
    """What was told last of one row."""

    __slots__ = ("_attempt", "_hops", "_target_summary")

    def __init__(self) -> None:
        self._attempt: Hashable = None
        self._hops: Sequence[Hop] = ()
        self._target_summary: TargetSummary | None = None

    def news(self, row: ColoRow, *, attempt: Hashable) -> News | None:
        """The hops of the row that are new or changed, by TTL; None if nothing is new. The row is
        then told. `attempt` identifies the trace: another one begins anew."""
        hops, earlier = row.hops, self._hops
        fresh = bool(earlier) and (attempt != self._attempt or len(hops) < len(earlier))
        if fresh:
            earlier = ()
        changed = [hop for hop, was in zip(hops, earlier, strict=False) if hop != was]
        changed += hops[len(earlier) :]
        if not changed and not fresh and row.target_summary == self._target_summary:
            return None
        self._attempt, self._hops, self._target_summary = attempt, hops, row.target_summary
        return News(changed, row.target_summary, fresh)
