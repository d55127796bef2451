"""SQLAlchemy's engine for a location, its errors in words, and the lock of migrations."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from colotrace_proto.starting import install_line
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from colotrace_coordinator.errors import SetupError, StoreUnavailableError

from .location import Location, open_private
from .space import no_space_words

LOCK_WAIT_S = 30.0
LOCKED_AFTER_S = 4.0
"""SQLite gives up on a lock of another process by then: before `ANSWER_S`, so that the error says
what is wrong, and no statement is cancelled while it waits."""
ADVISORY_LOCK = 0x636F6C6F74726163  # "colotrac": shared by all coordinators of a database


def engine_of(location: Location, *, frozen: bool = False) -> AsyncEngine:
    """An engine; `frozen` opens the SQLite file read-only and immutable.

    Raises:
        SetupError: the driver is missing.
    """
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


@contextmanager
def translated(location: Location, *, frozen: bool = False) -> Iterator[None]:
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
async def file_lock(file: Path | None) -> AsyncIterator[None]:
    """Excludes other processes by flock(2), which the kernel releases when a process ends."""
    if file is None:
        yield
        return
    handle = open_private(file.with_name(file.name + ".lock"))
    try:
        try:
            async with asyncio.timeout(LOCK_WAIT_S):
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
