"""Looks at a database without changing it, whatever its schema is."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import text

from colotrace_coordinator.errors import StoreUnavailableError

from .authorities import Authorities
from .database import Database
from .engine import engine_of, translated
from .listed import ListedAgent, ListedAgents
from .location import Location, is_there
from .schema import revision
from .tables import StoredAuthority

T = TypeVar("T")
_BUSY_S = 2.0
_ASKED = "SELECT extract(epoch FROM clock_timestamp()), pg_database_size(current_database())"
_STEPS = 10_000
"""Of SQLite's machine, between looks at the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """`size` in bytes. `clock_ahead_s`: by how much the server's clock is ahead of this host's.
    `damage` is what SQLite's quick check says; "" if nothing, None if it has not ended in time."""

    revision: str | None
    latency_ms: float
    size: int
    clock_ahead_s: float = 0.0
    damage: str | None = ""


def inspect(location: Location, *, check_s: float) -> DatabaseFacts:
    """The facts. The quick check of SQLite reads the whole file, for `check_s` at most.

    Raises:
        SetupError: the driver is missing.
        StoreUnavailableError: the database does not answer.
    """
    if location.file is None:
        return asyncio.run(_inspect_server(location))
    return _inspect_file(location.file, check_s=check_s)


def trusted_authorities(location: Location) -> list[StoredAuthority]:
    """The trusted CAs, oldest first, of a database with the newest schema.

    Raises:
        StoreUnavailableError: the database does not answer.
    """
    return asyncio.run(_read(location, lambda database: Authorities(database).all()))


def listed_agents(location: Location) -> list[ListedAgent]:
    """The agents of a database with the newest schema, by colo and id.

    Raises:
        StoreUnavailableError: the database does not answer.
    """
    return asyncio.run(_read(location, lambda database: ListedAgents(database).all()))


async def _read(location: Location, read: Callable[[Database], Awaitable[T]]) -> T:
    database = Database(location, frozen=_is_at_rest(location.file))
    try:
        return await read(database)
    finally:
        await database.close()


def _is_at_rest(file: Path | None) -> bool:
    """Whether nobody uses the SQLite file. Opening it normally would create files beside it."""
    return file is not None and not is_there(file.with_name(file.name + "-wal"))


def _inspect_file(file: Path, *, check_s: float) -> DatabaseFacts:
    mode = "mode=ro&immutable=1" if _is_at_rest(file) else "mode=ro"
    began = time.perf_counter()
    try:
        uri = f"file:{quote(str(file))}?{mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as connection:
            there = connection.execute(
                "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'"
            ).fetchone()
            found = connection.execute("SELECT version_num FROM alembic_version") if there else ()
            row = next(iter(found), None)
            latency_ms = (time.perf_counter() - began) * 1e3
            return DatabaseFacts(
                revision=str(row[0]) if row else None,
                latency_ms=latency_ms,
                size=file.stat().st_size,
                damage=_quick_check(connection, within_s=check_s),
            )
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailableError(f"{file} cannot be read: {error}") from error


def _quick_check(connection: sqlite3.Connection, *, within_s: float) -> str | None:
    until = time.monotonic() + within_s
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        (first,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # interrupted
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if first == "ok" else str(first)


async def _inspect_server(location: Location) -> DatabaseFacts:
    engine = engine_of(location)
    try:
        with translated(location):
            async with engine.connect() as connection:
                began = time.perf_counter()
                row = (await connection.execute(text(_ASKED))).one()
                latency_s = time.perf_counter() - began
                return DatabaseFacts(
                    revision=await connection.run_sync(revision),
                    latency_ms=latency_s * 1e3,
                    size=int(row[1]),
                    clock_ahead_s=float(row[0]) - (time.time() - latency_s / 2),
                )
    finally:
        await engine.dispose()
