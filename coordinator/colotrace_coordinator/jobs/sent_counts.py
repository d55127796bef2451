"""Which probes of an attempt can no longer be answered in time. Pure; times are in seconds.

A probe without a reply is not lost yet: it is waited for. The coordinator does not know when a
probe was sent, but it was before the report of its agent came. So a probe is lost if it has no
reply `wait` after the report, and the time that the reply may have been on its way from the agent.
Replies of later probes may hide a loss for a while, so that loss is never overstated.
"""

from collections import deque

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
