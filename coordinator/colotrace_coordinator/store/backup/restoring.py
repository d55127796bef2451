"""Makes a database of a backup. The target is as it was before until all has been written.

SQLite: a new file is filled beside the database, and then takes its place. PostgreSQL: everything
is one transaction. Meanwhile the lock of migrations keeps coordinators from starting.
"""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from sqlalchemy import Connection, MetaData, func, insert, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from colotrace_coordinator.errors import StoreError
from colotrace_coordinator.store.durable import sync
from colotrace_coordinator.store.engine import (
    ADVISORY_LOCK,
    LOCK_WAIT_S,
    engine_of,
    file_lock,
    translated,
)
from colotrace_coordinator.store.location import Location, located, open_private, prepare
from colotrace_coordinator.store.schema import is_known, revision, upgrade

from .archive import ArchiveReader, BackupFileError, TableEntry
from .saving import Progress, our_tables
from .users import user_of

_NEW = ".restoring"
_SIDES = ("", "-journal", "-wal", "-shm")


class RestoreRefusedError(StoreError):
    """The target is in use, or has content; the text says what to do."""


async def restore(
    location: Location, archive: ArchiveReader, progress: Progress, *, replace: bool
) -> None:
    """Fill the database, and migrate it to the newest schema. With `replace`, what it had is
    deleted.

    Raises:
        BackupFileError: the backup is damaged, or of a newer schema.
        RestoreRefusedError: the database has content, or a coordinator uses it.
        SetupError: the directory is not writable, or the driver is missing.
        StoreUnavailableError: the database does not answer, or the disk is full.
    """
    if not is_known(archive.manifest.schema):
        raise BackupFileError(
            f"the backup has schema {archive.manifest.schema}, of a newer colotrace than this one; "
            "upgrade this program"
        )
    if location.file is not None:
        await _restore_file(location.file, archive, progress, replace=replace)
    else:
        await _restore_server(location, archive, progress, replace=replace)


async def _restore_file(
    file: Path, archive: ArchiveReader, progress: Progress, *, replace: bool
) -> None:
    prepare(file)
    new = located(file.with_name(file.name + _NEW))
    async with file_lock(file):
        _refuse_file(file, replace=replace)
        async with _new_file(new) as path:
            async with _connection(new) as connection:
                # The file is new: after an error it is deleted, not rolled back.
                await connection.exec_driver_sql("PRAGMA journal_mode=OFF")
                await connection.exec_driver_sql("PRAGMA synchronous=OFF")
                await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                await connection.exec_driver_sql("BEGIN")
                await _fill(new, connection, archive, progress)
            async with _connection(new) as connection:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            sync(path)
            _refuse_file(file, replace=replace)
            _fold_log(file)
            path.replace(file)
            sync(file.parent)


def _refuse_file(file: Path, *, replace: bool) -> None:
    user = user_of(file)
    if user is not None:
        named = f"process {user}" if user else "a process of another container"
        raise RestoreRefusedError(f"{named} uses {file}; stop the coordinator first")
    if not replace and _has_rows(file):
        raise RestoreRefusedError(
            f"{file} has content; give --replace to delete it, or another --data DIR"
        )


def _has_rows(file: Path) -> bool:
    """Whether the SQLite file has anything. A damaged one may have."""
    if not file.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(file)) as connection:
            names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            return any(
                connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608
                for (name,) in names.fetchall()
                if name != "alembic_version"
            )
    except sqlite3.Error:
        return True


def _fold_log(file: Path) -> None:
    """Bring the old write-ahead log into the old database: it must not be taken for that of the new
    one, and until then the old database must be whole."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for side in _SIDES[1:]:  # left over if the old database is damaged
        file.with_name(file.name + side).unlink(missing_ok=True)


@asynccontextmanager
async def _new_file(location: Location) -> AsyncIterator[Path]:
    assert location.file is not None  # noqa: S101 - of `_restore_file`
    path = location.file
    sides = [path.with_name(path.name + side) for side in _SIDES]
    for each in sides:
        each.unlink(missing_ok=True)
    try:
        with translated(location):
            os.close(open_private(path))
        yield path
    finally:
        for each in sides:
            each.unlink(missing_ok=True)


async def _restore_server(
    location: Location, archive: ArchiveReader, progress: Progress, *, replace: bool
) -> None:
    async with _connection(location) as connection:
        with translated(location):
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S:.0f}s'")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            await _refuse_server(location, connection)
            await connection.run_sync(_empty, location, replace=replace)
        await _fill(location, connection, archive, progress)


async def _refuse_server(location: Location, connection: AsyncConnection) -> None:
    others = await connection.execute(
        text(
            "SELECT pid, coalesce(nullif(application_name, ''), 'a coordinator'), "
            "coalesce(host(client_addr), 'its host') FROM pg_stat_activity "
            "WHERE datname = current_database() AND usename = current_user "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend' LIMIT 1"
        )
    )
    for pid, name, address in others:
        raise RestoreRefusedError(
            f"the database {location} is in use, by {name} at {address} (process {pid} of the "
            "server); stop all coordinators first"
        )


def _empty(connection: Connection, location: Location, *, replace: bool) -> None:
    """Drop our tables."""
    found = revision(connection)
    tables = our_tables(connection)
    full = any(
        connection.execute(select(literal_column("1")).select_from(table).limit(1)).first()
        for table in tables.sorted_tables
    )
    if full and not replace:
        raise RestoreRefusedError(
            f"the database {location} has content; give --replace to delete it, or the URL of an "
            "empty one"
        )
    if found is not None and not is_known(found):
        raise RestoreRefusedError(
            f"the database {location} is of a newer colotrace than this one, and may have tables "
            "that this one does not know; create an empty database, and give its URL"
        )
    tables.drop_all(connection)
    connection.execute(text("DROP TABLE IF EXISTS alembic_version"))


@asynccontextmanager
async def _connection(location: Location) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction, which is committed at the end."""
    engine = engine_of(location)
    try:
        with translated(location):
            connection = await engine.connect()
        try:
            yield connection
            with translated(location):
                await connection.commit()
        finally:
            await connection.close()
    finally:
        await engine.dispose()


async def _fill(
    location: Location, connection: AsyncConnection, archive: ArchiveReader, progress: Progress
) -> None:
    schema = archive.manifest.schema
    with translated(location):
        await connection.run_sync(upgrade, schema)
        metadata = await connection.run_sync(our_tables)
    entries = {entry.name: entry for entry in archive.manifest.tables}
    if entries.keys() != metadata.tables.keys():
        raise BackupFileError(f"the backup does not have the tables of schema {schema}")
    done = 0
    for table in metadata.sorted_tables:
        entry = entries[table.name]
        if sorted(entry.columns) != sorted(column.name for column in table.columns):
            raise BackupFileError(f"the backup does not have the columns of {table.name}")
        for rows in archive.batches(entry):
            with translated(location):
                await _insert(connection, metadata, entry, rows)
            done += len(rows)
            progress(table.name, done)
    with translated(location):
        if connection.dialect.name == "postgresql":
            await connection.run_sync(_set_sequences, metadata)
        await connection.run_sync(upgrade)


async def _insert(
    connection: AsyncConnection, metadata: MetaData, entry: TableEntry, rows: list[list[object]]
) -> None:
    if any(len(row) != len(entry.columns) for row in rows):
        raise BackupFileError(f"the backup has a row of {entry.name} with a missing value")
    values = [dict(zip(entry.columns, row, strict=True)) for row in rows]
    await connection.execute(insert(metadata.tables[entry.name]), values)


def _set_sequences(connection: Connection, metadata: MetaData) -> None:
    """Continue the numbers that the server gives after those that were restored."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            if column.primary_key and "nextval" in str(getattr(column.server_default, "arg", "")):
                last = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
                sequence = func.pg_get_serial_sequence(table.name, column.name)
                connection.execute(select(func.setval(sequence, last, False)))  # noqa: FBT003
