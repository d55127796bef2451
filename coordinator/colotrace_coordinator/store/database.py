"""The database: opens it, migrates it, checks that it answers, and closes it.

With a full disk SQLite cannot even read normally, because a reader creates a shared memory file
beside the database. A coordinator that starts with a full disk therefore opens the file as
immutable, and reopens it normally once there is space (`watch`). Until then nothing is written:
queued audit lines and colos stay queued.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from colotrace_proto.running import TimeLimit
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker

from colotrace_coordinator.errors import CoordinatorError, StoreUnavailableError

from .engine import ADVISORY_LOCK, LOCK_WAIT_S, engine_of, file_lock, translated
from .location import Location, prepare
from .schema import HEAD, revision, upgrade
from .space import has_room, no_space_words

ANSWER_S = 5.0
_WATCH_EVERY_S = 5.0


class Database:
    """One database and its pool of connections."""

    def __init__(self, location: Location, *, frozen: bool = False) -> None:
        """`frozen` opens the SQLite file read-only and immutable."""
        self._location = location
        self._frozen = frozen
        self._engine = engine_of(location, frozen=frozen)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self.limit: TimeLimit = asyncio.timeout
        """Makes the timeouts of queries."""
        self.trouble = ""
        """The reason why nothing can be written now; "" if writing is possible. Set by `watch`."""

    @classmethod
    async def open(cls, location: Location, *, even_full: bool = False) -> "Database":
        """Open the database. It is created if it is missing, and migrated to the current version.

        With `even_full`, a current database is opened on a full disk too: it is read-only until
        `watch` finds space.

        Raises:
            SetupError: the directory is not writable, or the driver is missing.
            StoreError: the database is newer than this program.
            StoreUnavailableError: the database does not answer, or the disk is full.
        """
        try:
            if location.file:
                prepare(location.file)
            database = cls(location)
            try:
                await database.migrate()
            except BaseException:
                await database.close()
                raise
        except StoreUnavailableError:
            if location.file is None or has_room(location.file.parent):
                raise
            if even_full and (frozen := await cls._frozen_at(location)) is not None:
                return frozen
            raise StoreUnavailableError(no_space_words(location.file)) from None
        return database

    @classmethod
    async def _frozen_at(cls, location: Location) -> "Database | None":
        """The database opened read-only; None if its content would be missing or stale."""
        file = location.file
        if file is None or _size(file) == 0 or _size(file.with_name(file.name + "-wal")):
            return None
        database = cls(location, frozen=True)
        try:
            with translated(location):
                async with database._engine.connect() as connection:
                    current = await connection.run_sync(revision) == HEAD
        except StoreUnavailableError:
            current = False
        if not current:
            await database.close()
            return None
        database.trouble = no_space_words(file)
        return database

    async def watch(
        self, *, every_s: float = _WATCH_EVERY_S, changed: Callable[[str], None]
    ) -> None:
        """Check the free space every `every_s` until cancelled; `changed` gets each new `trouble`.

        Returns at once for PostgreSQL, whose disk is elsewhere.
        """
        file = self._location.file
        if file is None:
            return
        if self.trouble:
            changed(self.trouble)
        while True:
            await asyncio.sleep(every_s)
            room = await asyncio.to_thread(has_room, file.parent)
            if room and self._frozen:
                try:
                    await self._thaw()
                except CoordinatorError:  # it stays read-only until the next check
                    continue
            trouble = "" if room else no_space_words(file)
            if trouble != self.trouble:
                self.trouble = trouble
                changed(trouble)

    async def _thaw(self) -> None:
        await (await Database.open(self._location)).close()
        frozen = self._engine
        self._engine = engine_of(self._location)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._frozen = False
        await frozen.dispose()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A transaction of a few seconds at most, committed at the end.

        Raises:
            StoreUnavailableError: the connection was lost, the database refuses, or it does not
                answer in time.
        """
        with translated(self._location, frozen=self._frozen):
            async with self.limit(ANSWER_S), self._sessions.begin() as session:
                yield session

    async def ping(self, *, timeout_s: float = 2.0) -> None:
        """Check that the database answers.

        Raises:
            StoreUnavailableError: it does not answer within `timeout_s`.
        """
        try:
            async with self.limit(timeout_s), self.session() as session:
                await session.execute(text("SELECT 1"))
        except TimeoutError as error:
            raise StoreUnavailableError(
                f"the database {self._location} did not answer within {timeout_s:g} s"
            ) from error

    async def migrate(self) -> None:
        """Migrate the tables. Processes that start together migrate one after the other."""
        async with file_lock(self._location.file):
            with translated(self._location):
                async with self._engine.connect() as connection:
                    await self._migrate(connection)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def _migrate(self, connection: AsyncConnection) -> None:
        if self.dialect == "sqlite":
            # The mode is persistent. It is set under the lock: a change needs exclusive use.
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            # The driver starts no transaction for DDL, and a migration must be atomic.
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S:.0f}s'")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        if await connection.run_sync(revision) != HEAD:
            await connection.run_sync(upgrade)
        await connection.commit()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
