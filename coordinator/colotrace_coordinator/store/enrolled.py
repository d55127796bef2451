"""Enrolled agents: listed, renewed, drained and revoked."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update

from .database import Database
from .now import now_ms
from .tables import EnrolledAgent

KEPT_AFTER_END_S = 60 * 86_400
"""A revoked agent is remembered for so long after its last certificate has ended."""
_OVERLAP_MS = 15_000
"""A transaction may be committed so long after it has taken the time."""


class EnrolledAgents:
    """The enrolled agents in the database."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> list[EnrolledAgent]:
        """All that were not forgotten, by colo and id."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(EnrolledAgent)
                .where(EnrolledAgent.forgotten.is_(False))
                .order_by(EnrolledAgent.colo, EnrolledAgent.agent_id, EnrolledAgent.enrolled_at)
            )
            return list(rows)

    async def find(self, identity: str) -> EnrolledAgent | None:
        """The agent with this identity, forgotten or not."""
        async with self._database.session() as session:
            return await session.get(EnrolledAgent, identity)

    async def changed(self, since_ms: int) -> tuple[Sequence[EnrolledAgent], int]:
        """The agents that were enrolled or have changed since then, and some more, with
        the time now; both times by the database's clock, in milliseconds."""
        now = now_ms(self._database.dialect)
        async with self._database.session() as session:
            at = await session.scalar(select(now))
            rows = await session.scalars(
                select(EnrolledAgent).where(EnrolledAgent.changed_ms >= since_ms - _OVERLAP_MS)
            )
            return list(rows), at or since_ms

    async def following(self, identity: str, *, most: int) -> Sequence[EnrolledAgent]:
        """At most so many agents after this identity, in the order of their identities; "" is
        before the first. Shows a change that was committed long after its time, too, which
        `changed` misses."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(EnrolledAgent)
                .where(EnrolledAgent.id > identity)
                .order_by(EnrolledAgent.id)
                .limit(most)
            )
            return list(rows)

    async def revoke(self, identity: str) -> None:
        """Refuse the agent and its certificates from now on."""
        await self._set(identity, revoked_at=self._first_revoked())

    async def forget(self, identity: str) -> None:
        """Revoke the agent, and list it no more."""
        await self._set(identity, revoked_at=self._first_revoked(), forgotten=True)

    async def drain(self, identity: str, *, drained: bool) -> None:
        """Give the agent no new jobs, or give it some again."""
        await self._set(identity, drained=drained)

    async def renewed(self, identity: str, *, key_sha256: str, ends_at: float, name: str) -> bool:
        """Note the certificate of an agent's new key, for this name; False if the agent is
        revoked."""
        async with self._database.session() as session:
            renewed = await session.scalar(
                update(EnrolledAgent)
                .where(EnrolledAgent.id == identity, EnrolledAgent.revoked_at.is_(None))
                .values(
                    key_sha256=key_sha256,
                    certificate_ends_at=int(ends_at),
                    certified_name=name,
                    changed_ms=now_ms(self._database.dialect),
                )
                .returning(EnrolledAgent.id)
                .execution_options(synchronize_session=False)
            )
            return renewed is not None

    async def has_name(self, identity: str, name: str) -> bool:
        """Whether an agent was certified for this name, COLO/AGENT-ID, last, and no other agent
        that is not revoked is called so by now."""
        colo, _, agent_id = name.partition("/")
        async with self._database.session() as session:
            agent = await session.get(EnrolledAgent, identity)
            if agent is None or (agent.certified_name or f"{agent.colo}/{agent.agent_id}") != name:
                return False
            other = await session.scalar(
                select(EnrolledAgent.id).where(
                    EnrolledAgent.colo == colo,
                    EnrolledAgent.agent_id == agent_id,
                    EnrolledAgent.revoked_at.is_(None),
                    EnrolledAgent.id != identity,
                )
            )
            return other is None

    async def prune(self) -> None:
        """Delete what is no longer needed of revoked agents."""
        async with self._database.session() as session:
            await session.execute(
                delete(EnrolledAgent).where(
                    EnrolledAgent.revoked_at.is_not(None),
                    EnrolledAgent.certificate_ends_at < int(self._clock()) - KEPT_AFTER_END_S,
                )
            )

    def _first_revoked(self) -> ColumnElement[int]:
        return func.coalesce(EnrolledAgent.revoked_at, int(self._clock()))

    async def _set(self, identity: str, **values: Any) -> None:
        async with self._database.session() as session:
            await session.execute(
                update(EnrolledAgent)
                .where(EnrolledAgent.id == identity)
                .values(**values, changed_ms=now_ms(self._database.dialect))
                .execution_options(synchronize_session=False)
            )
