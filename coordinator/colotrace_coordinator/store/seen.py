"""What agents have told last, in the database.

The coordinators that they are attached to write it, and all read it.

With a broker an agent is attached to every coordinator. The one that wrote last renews the row each
minute, and the others leave it alone unless it stops.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from colotrace_proto.messages import Family
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from colotrace_coordinator.fleet.agents import AgentName
from colotrace_coordinator.fleet.facts import AgentFacts
from colotrace_coordinator.model import Trouble

from .database import Database
from .inserting import insert_into
from .tables import SeenAgent

STALE_S = 180
"""A row that was not renewed for so long is that of a coordinator that is gone."""
KEPT_S = 30 * 86_400
MOST_ROWS = 20_000
"""Without certificates anybody can invent agents: beyond this, the rows that were not renewed for
longest are deleted."""

Told = tuple[AgentFacts, Trouble | None]


class SeenAgents:
    """Reads and writes the table of agents that were seen."""

    def __init__(
        self,
        database: Database,
        *,
        coordinator: str,
        enrolled: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`coordinator` identifies this process. `enrolled`: only enrolled agents attach to it."""
        self._enrolled = enrolled
        self._database = database
        self._coordinator = coordinator
        self._clock = clock

    async def attached(self, agents: Sequence[Told], *, news: bool) -> None:
        """Write in one transaction what these attached agents, at least one, tell. Without `news`,
        rows that another coordinator renews are left alone.

        Raises:
            StoreUnavailableError: the database does not answer; then none is written.
        """
        now = int(self._clock())
        statement = insert_into(SeenAgent, dialect=self._database.dialect)
        new = statement.excluded
        written: dict[str, Any] = {
            column.name: new[column.name]
            for column in SeenAgent.__table__.columns
            if not column.primary_key
        }
        for column in ("trouble", "trouble_at"):  # those before a restart stay
            written[column] = func.coalesce(new[column], getattr(SeenAgent, column))
        own = or_(
            SeenAgent.coordinator == new.coordinator,
            SeenAgent.attached.is_(False),
            SeenAgent.seen_at < new.seen_at - STALE_S,
        )
        async with self._database.session() as session:
            await session.execute(
                statement.on_conflict_do_update(
                    index_elements=["colo", "agent_id"],
                    set_=written,
                    where=None if news else own,
                ),
                [self._row(facts, trouble, now) for facts, trouble in agents],
            )

    async def left(self, agents: Mapping[AgentName, Trouble | None]) -> None:
        """Note in one transaction that these agents, at least one, have left this coordinator.
        Those that have attached to another one meanwhile, or were renamed or forgotten, stay
        as they are.

        Raises:
            StoreUnavailableError: the database does not answer; then none is written.
        """
        table = SeenAgent.__table__
        words, at = bindparam("words", type_=Text), bindparam("at", type_=BigInteger)
        statement = (
            update(SeenAgent)
            .where(
                table.c.colo == bindparam("of_colo"),
                table.c.agent_id == bindparam("of_agent"),
                table.c.coordinator == self._coordinator,
            )
            .values(
                attached=False,
                seen_at=int(self._clock()),
                trouble=func.coalesce(words, table.c.trouble),
                trouble_at=func.coalesce(at, table.c.trouble_at),
            )
        )
        rows = [
            {
                "of_colo": colo,
                "of_agent": agent_id,
                "words": trouble.words if trouble else None,
                "at": int(trouble.at) if trouble else None,
            }
            for (colo, agent_id), trouble in sorted(agents.items())
        ]
        async with self._database.session() as session:
            await (await session.connection()).execute(statement, rows)

    async def stopped(self) -> None:
        """Note that no agent is attached to this coordinator any more."""
        async with self._database.session() as session:
            await session.execute(
                update(SeenAgent)
                .where(SeenAgent.coordinator == self._coordinator, SeenAgent.attached.is_(True))
                .values(attached=False, seen_at=int(self._clock()))
                .execution_options(synchronize_session=False)
            )

    async def prune(self) -> None:
        """Delete the rows of agents that were not seen for long, and the oldest of too many."""
        async with self._database.session() as session:
            oldest = await session.scalar(
                select(SeenAgent.seen_at)
                .order_by(SeenAgent.seen_at.desc())
                .offset(MOST_ROWS)
                .limit(1)
            )
            before = max(int(self._clock()) - KEPT_S, -1 if oldest is None else oldest + 1)
            await session.execute(delete(SeenAgent).where(SeenAgent.seen_at < before))

    def _row(self, facts: AgentFacts, trouble: Trouble | None, now: int) -> dict[str, object]:
        return {
            "colo": facts.colo,
            "agent_id": facts.agent_id,
            "coordinator": self._coordinator,
            "enrolled": self._enrolled,
            "host": facts.host,
            "version": facts.version,
            "families": " ".join(str(int(family)) for family in sorted(facts.families)),
            "attached": True,
            "attached_since": int(facts.attached_since),
            "seen_at": now,
            "cpu_millis": facts.cpu_millis,
            "memory_bytes": facts.memory_bytes,
            "trouble": trouble.words if trouble else None,
            "trouble_at": int(trouble.at) if trouble else None,
        }


async def forget_seen(database: Database, colo: str, agent_id: str) -> None:
    """Delete the row of an agent."""
    async with database.session() as session:
        await session.execute(
            delete(SeenAgent)
            .where(row_of(colo, agent_id))
            .execution_options(synchronize_session=False)
        )


def is_attached(row: Any, now: float) -> bool:
    """Whether the agent is attached to a coordinator that runs."""
    return bool(row.attached) and row.seen_at >= now - STALE_S


def families_in(row: Any) -> list[Family]:
    """The address families of a row, in order. One of a newer version is left out."""
    known = {str(int(family)): family for family in Family}
    return [known[word] for word in row.families.split() if word in known]


def row_of(colo: str, agent_id: str) -> ColumnElement[bool]:
    """The condition that a row is that of this agent."""
    return and_(SeenAgent.colo == colo, SeenAgent.agent_id == agent_id)
