"""Colos that were once seen, so that a restart does not turn their names into errors."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from .database import Database
from .tables import KnownColo

FORGOTTEN_AFTER_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class RememberedColo:
    """A colo and where it is."""

    name: str
    city: str


class ColoStore:
    """Colos in the database; one unseen for 30 days is forgotten."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def remember(self, name: str, city: str) -> None:
        """The colo is there now; say so when an agent attaches, and daily while one is.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        insert = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        values = {"city": city[:128], "last_seen_at": int(self._clock())}
        statement = insert(KnownColo).values(name=name, **values)
        async with self._database.session() as session:
            await session.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_=values)
            )

    async def all(self) -> list[RememberedColo]:
        """Every colo that is not forgotten, by name.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        oldest = int(self._clock()) - FORGOTTEN_AFTER_S
        async with self._database.session() as session:
            await session.execute(delete(KnownColo).where(KnownColo.last_seen_at < oldest))
            rows = await session.scalars(select(KnownColo).order_by(KnownColo.name))
            return [RememberedColo(row.name, row.city) for row in rows]
