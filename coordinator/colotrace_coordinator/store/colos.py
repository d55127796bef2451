"""Colos that were once seen, so that a restart does not turn their names into errors."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from colotrace_proto.messages import ColoName
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from colotrace_coordinator.errors import StoreError

from .behind import pause, until_cancelled
from .database import Database
from .tables import KnownColo

FORGOTTEN_AFTER_S = 30 * 86_400
_SEEN_EVERY_S = 6 * 3_600.0
_WRITE_EVERY_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RememberedColo:
    """A colo and where it is."""

    name: ColoName
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
            return [RememberedColo(ColoName(row.name), row.city) for row in rows]


class ColoMemory:
    """The registry's memory: it never waits, and what it is told is written behind."""

    def __init__(self, store: ColoStore, remembered: Iterable[RememberedColo]) -> None:
        self._store = store
        self._remembered = [(colo.name, colo.city) for colo in remembered]
        self._unwritten: dict[ColoName, str] = {}

    @classmethod
    async def load(cls, store: ColoStore) -> "ColoMemory":
        """With all that the database remembers.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return cls(store, await store.all())

    def all(self) -> list[tuple[ColoName, str]]:
        """Every colo that was remembered at the start, with its city."""
        return self._remembered

    def remember(self, name: ColoName, city: str) -> None:
        """Have the colo written soon."""
        self._unwritten[name] = city

    async def run(self, attached: Callable[[], Iterable[tuple[ColoName, str]]]) -> None:
        """Write until cancelled; the colos that are `attached` are seen anew now and then."""
        await until_cancelled(lambda stopping: self._run(attached, stopping))

    async def _run(
        self,
        attached: Callable[[], Iterable[tuple[ColoName, str]]],
        stopping: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        seen_at = loop.time() - _SEEN_EVERY_S
        while True:
            last = stopping.is_set()
            if loop.time() >= seen_at + _SEEN_EVERY_S:
                seen_at = loop.time()
                for name, city in attached():
                    self._unwritten.setdefault(name, city)
            try:
                await self._write()
            except StoreError as error:
                log.warning("colo_not_written", error=str(error), waiting=len(self._unwritten))
            if last:
                return
            await pause(stopping, seconds=_WRITE_EVERY_S)

    async def _write(self) -> None:
        while self._unwritten:
            name, city = next(iter(self._unwritten.items()))
            await self._store.remember(name, city)
            # Unless it has changed again meanwhile.
            if self._unwritten.get(name) == city:
                del self._unwritten[name]
