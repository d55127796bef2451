"""The agents as they are listed: those that have enrolled, and others that were seen."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from colotrace_proto.messages import Family
from sqlalchemy import ColumnElement, and_, select, true

from colotrace_coordinator.errors import UnknownIdError

from .database import Database
from .seen import families_in, is_attached
from .tables import EnrolledAgent, SeenAgent

Row = Any
"""A row of a table, with its columns as attributes: entities take ten times as long to make."""
_PART = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAgent:
    """An agent of the list. Times are in Unix seconds, and None if they are not known.

    `state`: `enrolled`, `drained`, `expired` or `revoked`; `unenrolled` for an agent with a
    certificate of another CA, or with none. `id` is that of an enrolled agent, and "" otherwise.
    `attached_since` is None if it is not attached. `cpu_millis` are thousandths of a CPU core, and
    None if the agent does not tell them.
    """

    id: str
    colo: str
    agent_id: str
    state: str
    city: str = ""
    host: str = ""
    version: str = ""
    families: Sequence[Family] = ()
    attached_since: int | None = None
    last_seen_at: int | None = None
    enrolled_at: int | None = None
    certificate_ends_at: int | None = None
    revoked_at: int | None = None
    last_trouble: str | None = None
    last_trouble_at: int | None = None
    cpu_millis: int | None = None
    memory_bytes: int | None = None

    @property
    def name(self) -> str:
        """COLO/AGENT-ID."""
        return f"{self.colo}/{self.agent_id}"


class ListedAgents:
    """Reads the list."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> list[ListedAgent]:
        """All agents that were not forgotten, by colo and id.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return await self._read(EnrolledAgent.forgotten.is_(False), true())

    async def named(self, name: str) -> ListedAgent:
        """The agent that is meant by an id of the list, by COLO/AGENT-ID, or by an agent's id that
        only one agent has.

        Raises:
            StoreUnavailableError: the database does not answer.
            UnknownIdError: there is none, or there are several.
        """
        words = {name, name.rpartition("/")[2]}
        async with self._database.session() as session:
            by_id = select(EnrolledAgent.agent_id).where(EnrolledAgent.id == name)
            words.update(await session.scalars(by_id))
        found = await self._read(
            and_(EnrolledAgent.forgotten.is_(False), EnrolledAgent.agent_id.in_(words)),
            SeenAgent.agent_id.in_(words),
        )
        return chosen(found, name)

    async def _read(
        self, enrolled_by: ColumnElement[bool], seen_by: ColumnElement[bool]
    ) -> list[ListedAgent]:
        """In parts, so that thousands of rows do not hold up the event loop."""
        enrolled: list[Any] = []
        seen: dict[tuple[str, str], Any] = {}
        async with self._database.session() as session:
            rows = await session.stream(select(EnrolledAgent.__table__).where(enrolled_by))
            async for part in rows.partitions(_PART):
                enrolled += part
                await asyncio.sleep(0)
            rows = await session.stream(select(SeenAgent.__table__).where(seen_by))
            async for part in rows.partitions(_PART):
                seen |= {(row.colo, row.agent_id): row for row in part}
                await asyncio.sleep(0)
        now = self._clock()
        live = {(each.colo, each.agent_id) for each in enrolled if each.revoked_at is None}
        listed = []
        for number, agent in enumerate(enrolled):
            name = agent.colo, agent.agent_id
            # What was seen is the agent's that has the name now.
            own = agent.revoked_at is None or name not in live
            listed.append(_enrolled(agent, seen.get(name) if own else None, now))
            if number % _PART == 0:
                await asyncio.sleep(0)
        listed += [_unenrolled(row, now) for row in seen.values() if not row.enrolled]
        return sorted(listed, key=lambda each: (each.colo, each.agent_id, each.enrolled_at or 0))


def chosen(listed: Sequence[ListedAgent], name: str) -> ListedAgent:
    """The one of the agents that is meant by `name`; see `ListedAgents.named`.

    Raises:
        UnknownIdError: there is none, or there are several.
    """
    # First, since an agent may have chosen another one's id as its name.
    by_id = [each for each in listed if each.id and each.id == name]
    found = by_id or [each for each in listed if name in (each.agent_id, each.name)]
    # A revoked agent may have enrolled again under its name.
    found = [each for each in found if each.revoked_at is None] or found
    if not found:
        raise UnknownIdError(f"no agent is called {name}; see: agent list")
    if len(found) > 1:
        names = ", ".join(f"{each.name} ({each.id or 'not enrolled'})" for each in found)
        raise UnknownIdError(f"{name} may be any of {names}; give one of the ids")
    return found[0]


def _enrolled(agent: Row, seen: Row | None, now: float) -> ListedAgent:
    if agent.revoked_at is not None:
        state = "revoked"
    elif agent.certificate_ends_at < now:
        state = "expired"
    else:
        state = "drained" if agent.drained else "enrolled"
    return ListedAgent(
        id=agent.id,
        colo=agent.colo,
        agent_id=agent.agent_id,
        state=state,
        city=agent.city,
        enrolled_at=agent.enrolled_at,
        certificate_ends_at=agent.certificate_ends_at,
        revoked_at=agent.revoked_at,
        **_seen(seen, now),
    )


def _unenrolled(row: Row, now: float) -> ListedAgent:
    return ListedAgent(
        id="", colo=row.colo, agent_id=row.agent_id, state="unenrolled", **_seen(row, now)
    )


class _Seen(TypedDict, total=False):
    host: str
    version: str
    families: Sequence[Family]
    attached_since: int | None
    last_seen_at: int | None
    last_trouble: str | None
    last_trouble_at: int | None
    cpu_millis: int | None
    memory_bytes: int | None


def _seen(row: Row | None, now: float) -> _Seen:
    if row is None:
        return {}
    return {
        "host": row.host,
        "version": row.version,
        "families": families_in(row),
        "attached_since": row.attached_since if is_attached(row, now) else None,
        "last_seen_at": row.seen_at,
        "last_trouble": row.trouble,
        "last_trouble_at": row.trouble_at,
        "cpu_millis": row.cpu_millis,
        "memory_bytes": row.memory_bytes,
    }
