"""Backups of both kinds of database, restored into both."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from colotrace_coordinator.errors import SetupError, StoreError
from colotrace_coordinator.store.backup.restoring import RestoreRefusedError
from colotrace_coordinator.store.backup.saving import save
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.durable import written_whole
from colotrace_coordinator.store.engine import engine_of
from colotrace_coordinator.store.location import Location, locate
from colotrace_coordinator.store.schema import HEAD, upgrade
from colotrace_coordinator.store.tables import AuditLine, Base, Token
from integration.coordinator.store.backups import (
    ROWS,
    content,
    fill,
    mode,
    names,
    restored,
    saved,
    spoil,
    sqlite_only,
)
from integration.coordinator.store.conftest import empty
from sqlalchemy import insert, select, text

AUDIT = {
    "at": 1,
    "request_id": "r",
    "account_id": "a",
    "credential_id": "c",
    "client": "::1",
    "targets": "[]",
    "colos": "[]",
    "options": "{}",
    "status": 200,
    "duration_ms": 1,
}


@pytest.fixture
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Location]:
    """Where to restore: of another kind than `location`, if its parameter says so."""
    if request.param == "sqlite":
        yield locate(data=tmp_path / "target", database=None)
        return
    where = locate(data=None, database=request.getfixturevalue("postgresql"))
    yield where
    await empty(where)


both = pytest.mark.parametrize(
    "target",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))],
    indirect=True,
)


@sqlite_only
@both
async def test_restored_database_has_the_same_rows(
    backup: Path, location: Location, target: Location
) -> None:
    """Also in a database of the other kind."""
    assert mode(backup) == 0o600
    await restored(target, backup)
    assert await content(target) == await content(location)


@pytest.mark.xdist_group("postgresql")
@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
@pytest.mark.parametrize("target", ["sqlite"], indirect=True)
async def test_backup_of_postgresql_makes_a_sqlite_file(
    backup: Path, location: Location, target: Location
) -> None:
    await restored(target, backup)
    assert await content(target) == await content(location)
    assert target.file is not None
    assert mode(target.file) == 0o600
    assert names(target.file.parent) == ["colotrace.sqlite3", "colotrace.sqlite3.lock"]


@sqlite_only
@both
async def test_audit_goes_on_after_the_last_entry(
    database: Database, location: Location, target: Location, tmp_path: Path
) -> None:
    """The ids that the database gives come after those of the backup."""
    await fill(database)
    await restored(target, await saved(location, tmp_path / "backup"))
    other = await Database.open(target)
    async with other.session() as session:
        added = await session.scalar(insert(AuditLine).values(AUDIT).returning(AuditLine.id))
    await other.close()
    assert added == ROWS + 1


@sqlite_only
async def test_backup_is_of_one_moment(
    database: Database, location: Location, tmp_path: Path
) -> None:
    """What is committed after it has begun is not in it, in no table."""
    await fill(database)
    before = await content(location)
    writer = await Database.open(location)

    def change(table: str, _rows: int) -> None:
        if table == Base.metadata.sorted_tables[0].name:
            with closing(sqlite3.connect(str(location.file))) as other, other:
                other.execute("DELETE FROM tokens")
                other.execute("DELETE FROM measurements")

    with written_whole(tmp_path / "backup") as out:
        await save(location, out, change)
    await writer.close()
    where = locate(data=tmp_path / "other", database=None)
    await restored(where, tmp_path / "backup")
    assert await content(where) == before
    assert (await content(location))["tokens"] == []


async def test_database_with_content_is_replaced_only_if_told(
    backup: Path, database: Database, location: Location
) -> None:
    async with database.session() as session:
        await session.execute(text("UPDATE tokens SET description = 'changed'"))
    await database.close()
    with pytest.raises(RestoreRefusedError, match="has content; give --replace"):
        await restored(location, backup)
    assert "changed" in str(await content(location))
    await restored(location, backup, replace=True)
    assert "changed" not in str(await content(location))


async def test_database_without_rows_needs_no_replace(
    backup: Path, database: Database, location: Location
) -> None:
    async with database.session() as session:
        for table in reversed(Base.metadata.sorted_tables):
            await session.execute(table.delete())
    await database.close()
    await restored(location, backup)
    database = await Database.open(location)
    async with database.session() as session:
        assert len((await session.scalars(select(Token))).all()) == ROWS
    await database.close()


@pytest.mark.xdist_group("postgresql")
@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
async def test_server_with_another_session_is_refused(
    backup: Path, database: Database, location: Location
) -> None:
    await database.ping()
    with pytest.raises(RestoreRefusedError, match=r"in use, by .* stop all coordinators first"):
        await restored(location, backup, replace=True)


_HOLDS = """import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM tokens").fetchall()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def user(location: Location) -> Iterator[int]:
    """The id of another process with an idle connection."""
    argv = [sys.executable, "-c", _HOLDS, str(location.file)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate(b"")


@sqlite_only
async def test_file_that_a_process_uses_is_refused(
    backup: Path, database: Database, location: Location, user: int
) -> None:
    await database.close()
    with pytest.raises(RestoreRefusedError, match=f"process {user} uses .* stop the coordinator"):
        await restored(location, backup, replace=True)


@sqlite_only
async def test_damaged_database_is_replaced(
    backup: Path, database: Database, location: Location
) -> None:
    before = await content(location)
    await database.close()
    assert location.file is not None
    spoil(location.file)
    with pytest.raises(RestoreRefusedError, match="has content"):
        await restored(location, backup)
    await restored(location, backup, replace=True)
    assert await content(location) == before


@pytest.mark.parametrize("schema", ["0001", "0003", "0006"])
@both
async def test_backup_of_an_older_schema_is_migrated(
    target: Location, tmp_path: Path, schema: str
) -> None:
    """Saving leaves the old database as it is."""
    old = locate(data=tmp_path, database=None)
    engine = engine_of(old)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, schema)
        await connection.exec_driver_sql("INSERT INTO accounts VALUES ('a', 7)")
        await connection.exec_driver_sql(
            "INSERT INTO colos (name, city, last_seen_at) VALUES ('den01', 'Denver', 9)"
        )
    await engine.dispose()
    backup = await saved(old, tmp_path / "backup")
    with closing(sqlite3.connect(str(old.file))) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [(schema,)]
    await restored(target, backup)
    database = await Database.open(target)
    async with database.session() as session:
        assert (await session.execute(text("SELECT * FROM accounts"))).all() == [("a", 7)]
        version = await session.scalar(text("SELECT version_num FROM alembic_version"))
        assert version == HEAD
    await database.close()


async def test_newer_database_is_not_saved(
    database: Database, location: Location, tmp_path: Path
) -> None:
    async with database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer colotrace"):
        await saved(location, tmp_path / "backup")
    assert [name for name in names(tmp_path) if "backup" in name] == []


async def test_missing_database_is_not_created(tmp_path: Path) -> None:
    where = locate(data=tmp_path / "none", database=None)
    with pytest.raises(SetupError, match="there is no database"):
        await saved(where, tmp_path / "backup")
    assert names(tmp_path) == []
