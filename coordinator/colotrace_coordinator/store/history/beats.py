"""Which coordinators live, by the database's clock.

A coordinator with running measurements writes the time every `BEAT_EVERY_S`. All coordinators read
it by the same clock, so their own clocks need not agree.
"""

import time
from collections.abc import Callable, Sequence

from colotrace_proto.measured import Status, Summary
from msgspec.structs import replace
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from colotrace_coordinator.store.now import now_ms
from colotrace_coordinator.store.tables import CoordinatorBeat

from .statements import Statements

BEAT_EVERY_S = 2.0
LOST_AFTER_MS = 6_000
"""A running measurement whose coordinator has not beaten for this long is partial."""


class Beats:
    """Writes this coordinator's beats, and reads all of them."""

    def __init__(
        self,
        coordinator: str,
        statements: Statements,
        *,
        clock: Callable[[], float] = time.monotonic,
        lost_after_ms: int = LOST_AFTER_MS,
    ) -> None:
        self._coordinator = coordinator
        self._statements = statements
        self._clock = clock
        self._lost_after_ms = lost_after_ms
        self._due_at = float("-inf")

    @property
    def due(self) -> bool:
        """Whether a beat is due, if a measurement runs."""
        return self._clock() >= self._due_at

    async def beat(self, session: AsyncSession) -> None:
        """Write a beat; call `done` once it is committed."""
        statement = self._statements.upsert(
            CoordinatorBeat, {"id": self._coordinator, "beat_ms": self._now()}, key="id"
        )
        await session.execute(statement)

    def done(self) -> None:
        """The beat is committed."""
        self._due_at = self._clock() + BEAT_EVERY_S

    async def judged(self, session: AsyncSession, summaries: Sequence[Summary]) -> list[Summary]:
        """The stored summaries; those that run at a coordinator that is gone are partial."""
        running = {s.coordinator for s in summaries if s.status is Status.RUNNING}
        if not running:
            return list(summaries)
        statement = select(
            CoordinatorBeat.id, CoordinatorBeat.beat_ms, self._now() - CoordinatorBeat.beat_ms
        ).where(CoordinatorBeat.id.in_(running))
        beats = {name: (at, age) for name, at, age in await session.execute(statement)}
        return [self._judged(summary, beats.get(summary.coordinator)) for summary in summaries]

    async def prune(self, session: AsyncSession, *, kept_ms: int) -> None:
        """Delete coordinators that have not beaten for so long."""
        await session.execute(
            delete(CoordinatorBeat).where(CoordinatorBeat.beat_ms < self._now() - kept_ms)
        )

    def _judged(self, summary: Summary, beat: tuple[int, int] | None) -> Summary:
        if summary.status is not Status.RUNNING:
            return summary
        if beat is None or not isinstance(beat[0], int):  # SQLite's columns may have any type
            return replace(summary, status=Status.PARTIAL, ended_ms=summary.began_ms)
        at_ms, age_ms = beat
        # A beat of the future is of the time before the clock was set back: one that lives beats
        # again at once.
        if abs(age_ms) < self._lost_after_ms:
            return summary
        ended_ms = max(min(at_ms, at_ms + age_ms), summary.began_ms)
        return replace(summary, status=Status.PARTIAL, ended_ms=ended_ms)

    def _now(self) -> ColumnElement[int]:
        return now_ms(self._statements.dialect)
