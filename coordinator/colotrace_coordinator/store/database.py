"""The database: opens it, migrates it, checks that it answers, and closes it.

With a full disk SQLite cannot even read normally, because a reader creates a shared memory file
beside the database. A coordinator that starts with a full disk therefore opens the file as
immutable, and reopens it normally once there is space (`watch`). Until then nothing is written:
queued audit lines and colos stay queued.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from colotrace_proto.running import TimeLimit
from colotrace_proto.starting import install_line
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from colotrace_coordinator.errors import (
    CoordinatorError,
    SetupError,
    StoreError,
    StoreUnavailableError,
)

from .location import Location, open_private, prepare
from .space import has_room, no_space_words

HEAD = "0005"
"""The revision of the newest migration."""

_LOCK_WAIT_S = 30.0
ANSWER_S = 5.0
LOCKED_AFTER_S = 4.0
"""SQLite gives up on a lock of another process by then: before `ANSWER_S`, so that the error says
what is wrong, and no statement is cancelled while it waits."""
_WATCH_EVERY_S = 5.0
_ADVISORY_LOCK = 0x636F6C6F74726163  # "colotrac": shared by all coordinators of a database


class Database:
    """One database and its pool of connections."""

    def __init__(self, location: Location, *, frozen: bool = False) -> None:
        """`frozen` opens the SQLite file read-only and immutable."""
        self._location = location
        self._frozen = frozen
        self._engine = _engine(location, frozen=frozen)
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
            with _translated(location):
                async with database._engine.connect() as connection:
                    current = await connection.run_sync(_revision) == HEAD
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
        self._engine = _engine(self._location, frozen=False)
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
        with _translated(self._location, frozen=self._frozen):
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
        async with _file_lock(self._location.file):
            with _translated(self._location):
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
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_S:.0f}s'")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        if await connection.run_sync(_revision) != HEAD:
            await connection.run_sync(_upgrade)
        await connection.commit()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _engine(location: Location, *, frozen: bool) -> AsyncEngine:
    try:
        if location.file is None:
            # Detects connections that a restart of the server has closed.
            return create_async_engine(location.url, pool_pre_ping=True, pool_size=10)
        url = location.url
        if frozen:
            # https://www.sqlite.org/uri.html
            uri = f"file:{quote(str(location.file))}"
            url = url.set(database=uri, query={"mode": "ro", "immutable": "1", "uri": "true"})
        engine = create_async_engine(url, connect_args={"timeout": LOCKED_AFTER_S})
    except ImportError as error:
        raise SetupError(
            f"PostgreSQL's driver is missing; run: {install_line('postgres')}"
        ) from error
    event.listen(engine.sync_engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    # In WAL mode a power failure can lose the last commits, but never corrupts the database.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).one_or_none()
    return None if row is None else str(row[0])


def _upgrade(connection: Connection) -> None:
    # Imported here, since most starts need no migration.
    from alembic import command
    from alembic.config import Config
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "colotrace_coordinator.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):  # the revision is known
            raise
        raise StoreError(
            f"the database is of a newer colotrace than this one ({error}); upgrade this program"
        ) from error


@contextmanager
def _translated(location: Location, *, frozen: bool = False) -> Iterator[None]:
    """Turns errors of SQLAlchemy and the drivers into `StoreUnavailableError`."""
    try:
        yield
    except UnicodeDecodeError as error:  # of the driver: text, or SQLite's own words on the schema
        raise StoreUnavailableError(
            f"the database {location} is damaged: {error}; restore it from a backup"
        ) from error
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None)
        if location.file is not None and (frozen or _says_full(cause)):
            raise StoreUnavailableError(no_space_words(location.file)) from error
        cause = cause or str(error) or "no answer in time"
        raise StoreUnavailableError(
            f"the database {location} does not answer: {cause}; check that it runs, "
            "and the URL given with --database (or the directory given with --data)"
        ) from error


def _says_full(cause: BaseException | None) -> bool:
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


@asynccontextmanager
async def _file_lock(file: Path | None) -> AsyncIterator[None]:
    """Excludes other processes by flock(2), which the kernel releases when a process ends."""
    if file is None:
        yield
        return
    handle = open_private(file.with_name(file.name + ".lock"))
    try:
        try:
            async with asyncio.timeout(_LOCK_WAIT_S):
                while not _try_lock(handle):  # noqa: ASYNC110 — another process releases it
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise StoreUnavailableError(f"another process keeps {file} locked") from error
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
