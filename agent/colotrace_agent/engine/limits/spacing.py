"""Probes that wait for routers known to limit their answers, over all traces.

Each trace has its first probe at such a router as soon as there is a place, `SPACING_NS` from the
one before. Further ones of the same TTL come later, each by as much, and only while the router
probably answers them: they must not cost other traces their first. What would have to wait for
longer than an answer is not sent, and so not counted as lost.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from colotrace_agent.model import TraceSpec

from .routers import SPACING_NS, Limit


class Held(Protocol):
    """A trace, as far as its probes that wait go."""

    @property
    def started(self) -> int:
        """When it began."""

    @property
    def spec(self) -> TraceSpec:
        """What was asked."""

    def wants_late(self, ttl: int) -> bool:
        """Whether a probe of that TTL is still of interest."""

    def spare(self, ttl: int, *, limited: bool) -> None:
        """A probe will not be sent; `limited` says that this is for the router's limit."""


_Held = TypeVar("_Held", bound=Held)


class Waiting(NamedTuple, Generic[_Held]):
    """A probe that waits until `at`; `booked` where the router's place at that time is its own."""

    at: int
    tie: int
    trace: _Held
    ttl: int
    limit: Limit
    booked: bool


class Spacing(Generic[_Held]):
    """The probes that wait. Times are monotonic nanoseconds."""

    def __init__(self, *, settled: Callable[[_Held], None]) -> None:
        """`settled` is told of each trace that has one probe less to wait for."""
        self._settled = settled
        self._waiting: list[Waiting[_Held]] = []
        self._tie = itertools.count()

    def hold(self, trace: _Held, ttl: int, limit: Limit, *, earlier: int, now: int) -> None:
        """Lets a probe wait, of which so many of its TTL came before."""
        at = now + earlier * SPACING_NS if earlier else limit.book(now)
        self._wait(Waiting(at, 0, trace, ttl, limit, booked=not earlier))

    def ready(
        self, now: int, *, is_full: Callable[[], bool], ready_at: Callable[[_Held, int], int]
    ) -> Iterator[tuple[_Held, int]]:
        """Probes to send now, as (trace, TTL), once their router and all budgets allow it.

        `is_full` says whether this turn can send no more. `ready_at` says when the budgets of a
        trace's target and of a TTL allow a probe.
        """
        for waiting in self._due(now):
            at = now + 1 if is_full() else waiting.limit.asked_at + SPACING_NS
            if at <= now:
                at = ready_at(waiting.trace, waiting.ttl)
            if at > now:
                self._book(waiting, at)
            else:
                waiting.limit.asked_at = now
                yield waiting.trace, waiting.ttl

    def _due(self, now: int) -> Iterator[Waiting[_Held]]:
        while self._waiting and self._waiting[0].at <= now:
            waiting = heapq.heappop(self._waiting)
            if not waiting.trace.wants_late(waiting.ttl):
                self._spare(waiting, limited=False)
            elif waiting.booked:
                yield waiting
            elif waiting.limit.has_room(now):
                self._book(waiting, waiting.limit.book(now))
            else:
                self._spare(waiting, limited=True)

    def _book(self, waiting: Waiting[_Held], at: int) -> None:
        self._wait(waiting._replace(at=at, booked=True))

    def next_at(self) -> int | None:
        """When something is due."""
        return self._waiting[0].at if self._waiting else None

    def _wait(self, waiting: Waiting[_Held]) -> None:
        trace = waiting.trace
        if waiting.at > trace.started + trace.spec.wait_ns:
            self._spare(waiting, limited=True)
        else:
            heapq.heappush(self._waiting, waiting._replace(tie=next(self._tie)))

    def _spare(self, waiting: Waiting[_Held], *, limited: bool) -> None:
        waiting.trace.spare(waiting.ttl, limited=limited)
        self._settled(waiting.trace)
