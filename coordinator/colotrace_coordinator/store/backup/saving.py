"""Reads a database into a backup: all tables as of one moment, while coordinators go on writing.

With SQLite it is one read transaction in WAL mode, with PostgreSQL one of isolation level
REPEATABLE READ. Nothing is written, and an older database is not migrated.
"""

import time
from collections.abc import Callable
from contextlib import aclosing
from importlib.metadata import version
from typing import IO

from sqlalchemy import Connection, LargeBinary, MetaData, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from colotrace_coordinator.errors import SetupError, StoreError
from colotrace_coordinator.store.engine import engine_of, translated
from colotrace_coordinator.store.location import Location, is_there
from colotrace_coordinator.store.schema import is_known, revision
from colotrace_coordinator.store.space import has_room
from colotrace_coordinator.store.tables import Base

from .archive import ArchiveWriter, Manifest

_FETCHED, _FETCHED_BLOBS = 2_000, 50
"""Rows that are in memory at a time; those with blobs can be large."""

Progress = Callable[[str, int], None]
"""Gets a table's name, and how many rows of all tables are done."""


async def save(location: Location, file: IO[bytes], progress: Progress) -> Manifest:
    """Write a backup of the database to a file.

    Raises:
        SetupError: there is no database of ours, or the driver is missing.
        StoreError: the database is newer than this program.
        StoreUnavailableError: the database does not answer.
        OSError: the file cannot be written.
    """
    engine = engine_of(location, frozen=_must_be_frozen(location))
    written = ArchiveWriter(file)
    try:
        # Of the database alone: an error of the file is another one.
        with translated(location):
            connection = await engine.connect()
        async with aclosing(connection):
            with translated(location):
                schema = await _begin(location, connection)
                metadata = await connection.run_sync(our_tables)
            made_at = time.time()
            for table in metadata.sorted_tables:
                await _save_table(location, connection, table, written, progress)
            return written.finish(
                schema=schema,
                version=version("colotrace"),
                made_at=made_at,
                origin=engine.dialect.name,
            )
    except BaseException:
        written.abandon()
        raise
    finally:
        await engine.dispose()


def our_tables(connection: Connection) -> MetaData:
    """The tables of ours that the database has, as they are there: they may be of an older
    schema."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in Base.metadata.tables)
    return found


async def _begin(location: Location, connection: AsyncConnection) -> str:
    """Begin the transaction that sees one moment. Returns the schema's revision."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN")  # the driver begins none for reading
    else:
        await connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    found = await connection.run_sync(revision)
    if found is None:
        raise SetupError(f"the database {location} has no tables of colotrace; check its address")
    if not is_known(found):
        raise StoreError(
            f"the database {location} is of a newer colotrace than this one; upgrade this program"
        )
    return found


async def _save_table(
    location: Location,
    connection: AsyncConnection,
    table: Table,
    written: ArchiveWriter,
    progress: Progress,
) -> None:
    large = any(
        isinstance(column.type, LargeBinary) and not column.primary_key for column in table.columns
    )
    with written.table(table.name, [column.name for column in table.columns]) as add:
        with translated(location):
            result = await connection.stream(select(table))
        fetched = _FETCHED_BLOBS if large else _FETCHED
        while True:
            with translated(location):
                rows = await result.fetchmany(fetched)
            if not rows:
                break
            for row in rows:
                add(row)
            progress(table.name, written.rows)


def _must_be_frozen(location: Location) -> bool:
    """Whether SQLite has no space for the file with which it coordinates readers. All content is in
    the database file if there is no write-ahead log."""
    if location.file is None:
        return False
    if not is_there(location.file):
        raise SetupError(f"there is no database {location}; check --data DIR")
    try:
        logged = location.file.with_name(location.file.name + "-wal").stat().st_size > 0
    except OSError:
        logged = False
    return not logged and not has_room(location.file.parent)
