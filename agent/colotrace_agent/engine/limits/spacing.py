"""Deferred probes to routers with a known rate limit, over all traces.

The first probe of each trace to such a router gets the next free departure, `SPACING_NS` after the
one before. Further probes of the same TTL follow at the same interval, and only while the router
will probably answer them, so that other traces keep their first. A probe that would wait longer
than an answer is waited for is dropped, and so not counted as lost.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from .routers import SPACING_NS, Limit


class Held(Protocol):
    """A trace with deferred probes."""

    def wants_late(self, ttl: int) -> bool:
        """Whether a deferred probe of that TTL is still to be sent."""

    def spare(self, ttl: int, *, limited: bool) -> None:
        """Drop a deferred probe; `limited` if the reason is the router's rate limit."""


_Held = TypeVar("_Held", bound=Held)


class Waiting(NamedTuple, Generic[_Held]):
    """A probe deferred until `at`; `booked` if that departure to the router is reserved for it.

    It is dropped if it would have to wait beyond `latest`.
    """

    at: int
    tie: int
    trace: _Held
    ttl: int
    limit: Limit
    latest: int
    booked: bool


class Spacing(Generic[_Held]):
    """All deferred probes. Times are monotonic nanoseconds."""

    def __init__(self, *, settled: Callable[[_Held], None]) -> None:
        """`settled` is called with each trace of which a deferred probe was dropped."""
        self._settled = settled
        self._waiting: list[Waiting[_Held]] = []
        self._tie = itertools.count()

    def hold(
        self, trace: _Held, ttl: int, limit: Limit, *, earlier: int, latest: int, now: int
    ) -> None:
        """Defer a probe until `latest` at most; `earlier` counts the trace's probes of the same TTL
        before it."""
        at = now + earlier * SPACING_NS if earlier else limit.book(now)
        self._wait(Waiting(at, 0, trace, ttl, limit, latest, booked=not earlier))

    def ready(
        self, now: int, *, is_full: Callable[[], bool], ready_at: Callable[[_Held, int], int]
    ) -> Iterator[tuple[_Held, int]]:
        """Probes to send now, as (trace, TTL), that their router and all budgets allow.

        `is_full` returns whether this turn can send no more. `ready_at` returns when the budgets of
        a trace's target and of a TTL allow a probe.
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
        """When the next probe is due; None if none is deferred."""
        return self._waiting[0].at if self._waiting else None

    def _wait(self, waiting: Waiting[_Held]) -> None:
        if waiting.at > waiting.latest:
            self._spare(waiting, limited=True)
        else:
            heapq.heappush(self._waiting, waiting._replace(tie=next(self._tie)))

    def _spare(self, waiting: Waiting[_Held], *, limited: bool) -> None:
        waiting.trace.spare(waiting.ttl, limited=limited)
        self._settled(waiting.trace)
