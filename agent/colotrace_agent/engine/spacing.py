"""Probes that wait for routers known to limit their answers, over all traces.

Each trace has its first probe at such a router as soon as there is a place, `SPACING_NS` from the
one before. Further ones of the same TTL come later, each by as much, and only while the router
probably answers them: they must not cost other traces their first. What would have to wait for
longer than an answer is not sent, and so not counted as lost.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .routers import SPACING_NS, Limit
from .trace import Trace


class Waiting(NamedTuple):
    """A probe that waits until `at`; `booked` where the router's place at that time is its own."""

    at: int
    tie: int
    trace: Trace
    ttl: int
    limit: Limit
    booked: bool


class Spacing:
    """The probes that wait. Times are monotonic nanoseconds."""

    def __init__(self, *, settled: Callable[[Trace], None]) -> None:
        """`settled` is told of each trace that has one probe less to wait for."""
        self._settled = settled
        self._limits: dict[Trace, dict[int, Limit]] = {}
        self._waiting: list[Waiting] = []
        self._tie = itertools.count()

    def begin(self, trace: Trace, limits: dict[int, Limit]) -> None:
        """A trace begins, some of whose probes expire at routers that limit."""
        if limits:
            self._limits[trace] = limits

    def end(self, trace: Trace) -> None:
        """The trace has ended."""
        self._limits.pop(trace, None)

    def puts_off(self, trace: Trace, now: int) -> bool:
        """Whether the trace's next probe waits; if so, the trace's turn goes to the one after."""
        limits = self._limits.get(trace)
        limit = limits.get(trace.next_ttl()) if limits else None
        if limit is None:
            return False
        ttl, earlier = trace.put_off()
        at = now + earlier * SPACING_NS if earlier else limit.book(now)
        self._wait(Waiting(at, 0, trace, ttl, limit, booked=not earlier))
        return True

    def due(self, now: int) -> Iterator[Waiting]:
        """Probes whose time has come: each to be sent, or to wait `again`."""
        while self._waiting and self._waiting[0].at <= now:
            waiting = heapq.heappop(self._waiting)
            if not waiting.trace.wants_late(waiting.ttl):
                self._spare(waiting, limited=False)
            elif waiting.booked:
                yield waiting
            elif waiting.limit.has_room(now):
                self.again(waiting, waiting.limit.book(now))
            else:
                self._spare(waiting, limited=True)

    def again(self, waiting: Waiting, at: int) -> None:
        """Lets it wait until that time, if that is not too long."""
        self._wait(waiting._replace(at=at, booked=True))

    def next_at(self) -> int | None:
        """When something is due."""
        return self._waiting[0].at if self._waiting else None

    def _wait(self, waiting: Waiting) -> None:
        trace = waiting.trace
        if waiting.at > trace.started + trace.spec.wait_ns:
            self._spare(waiting, limited=True)
        else:
            heapq.heappush(self._waiting, waiting._replace(tie=next(self._tie)))

    def _spare(self, waiting: Waiting, *, limited: bool) -> None:
        waiting.trace.spare(waiting.ttl, limited=limited)
        self._settled(waiting.trace)
