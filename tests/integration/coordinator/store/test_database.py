"""Opening and migrating the database, and the error messages."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.util import CommandError
from colotrace_coordinator.errors import SetupError, StoreError, StoreUnavailableError
from colotrace_coordinator.store import engine as engine_module
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location, locate
from colotrace_coordinator.store.schema import HEAD
from colotrace_coordinator.store.tables import Base
from integration.coordinator.store.conftest import empty
from lab import access
from sqlalchemy import text


async def test_migrations_create_the_tables(database: Database) -> None:
    """The result of all steps is the schema of the program."""
    async with database.session() as session:
        connection = await session.connection()
        difference = await connection.run_sync(
            lambda c: compare_metadata(MigrationContext.configure(c), Base.metadata)
        )
    assert difference == []
    await database.ping()


async def test_opened_concurrently(location: Location) -> None:
    """Coordinators that start together create one set of tables."""
    if location.file is None:
        await empty(location)
    opened = await asyncio.gather(*(Database.open(location) for _ in range(6)))
    async with opened[0].session() as session:
        assert await session.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    for database in opened:
        await database.close()
    if location.file is None:
        await empty(location)


async def test_other_fault_of_a_migration_is_not_called_a_newer_database(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an unknown revision means that a newer version has written the database."""

    def upgrade(*_: object) -> None:
        raise CommandError("multiple heads")

    monkeypatch.setattr(command, "upgrade", upgrade)
    with pytest.raises(CommandError, match="multiple heads"):
        await Database.open(location)


async def test_newer_database(location: Location) -> None:
    database = await Database.open(location)
    async with database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StoreError, match="upgrade this program"):
        await Database.open(location)
    if location.file is None:
        await empty(location)


async def test_private_files(tmp_path: Path) -> None:
    """Other users may not read them."""
    database = await Database.open(locate(data=tmp_path / "a" / "b", database=None))
    await database.ping()
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    for entry in os.scandir(tmp_path / "a" / "b"):
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600, entry.name
    await database.close()


@pytest.mark.skipif(not access.is_root(), reason="only root can give files away")
async def test_files_created_by_root_belong_to_the_service(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    database = await Database.open(locate(data=tmp_path, database=None))
    await database.ping()
    assert {entry.stat().st_uid for entry in os.scandir(tmp_path)} == {65534}
    await database.close()


async def test_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="--data DIR"):
        await Database.open(locate(data=tmp_path / "file" / "data", database=None))


async def test_broken_file(tmp_path: Path) -> None:
    (tmp_path / "colotrace.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(StoreUnavailableError, match=r"colotrace\.sqlite3"):
        await Database.open(locate(data=tmp_path, database=None))


async def test_schema_that_is_no_text(tmp_path: Path) -> None:
    """SQLite quotes it in its error, which the driver cannot read."""
    location = locate(data=tmp_path, database=None)
    await (await Database.open(location)).close()
    assert location.file is not None
    content = location.file.read_bytes()
    content = content.replace(b"tableaccountsaccounts", b"table\xff\x96\xfbountsaccounts")
    location.file.write_bytes(content.replace(b"CREATE TABLE accounts", b"CREATE TABLE (ccounts"))
    with pytest.raises(StoreUnavailableError, match="is damaged"):
        await Database.open(location)


async def test_unreachable_server() -> None:
    where = locate(data=None, database="postgresql://u:secret@127.0.0.1:1/x")
    with pytest.raises(StoreUnavailableError) as caught:
        await Database.open(where)
    assert "secret" not in str(caught.value)
    assert "--database" in str(caught.value)


async def test_lost_connection(tmp_path: Path) -> None:
    database = await Database.open(locate(data=tmp_path, database=None))
    with sqlite3.connect(tmp_path / "colotrace.sqlite3") as other:
        other.execute("DROP TABLE tokens")
    other.close()
    with pytest.raises(StoreUnavailableError):
        async with database.session() as session:
            await session.execute(text("SELECT * FROM tokens"))
    await database.close()


async def test_database_that_another_process_keeps_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing fails, and says why; reading goes on, and writing does once the lock is free."""
    monkeypatch.setattr(engine_module, "LOCKED_AFTER_S", 0.05)
    location = locate(data=tmp_path, database=None)
    database = await Database.open(location)
    other = sqlite3.connect(str(location.file), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    insert = text("INSERT INTO coordinators VALUES ('a', 1)")
    with pytest.raises(StoreUnavailableError, match="database is locked"):
        async with database.session() as session:
            await session.execute(insert)
    await database.ping()
    other.execute("ROLLBACK")
    other.close()
    async with database.session() as session:
        await session.execute(insert)
    await database.close()


async def test_unresponsive_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is limited by the deadline of an answer."""
    monkeypatch.setattr("colotrace_coordinator.store.database.ANSWER_S", 0.02)
    with pytest.raises(StoreUnavailableError, match="no answer in time"):
        async with database.session():
            await asyncio.Event().wait()
    monkeypatch.undo()
    await database.ping()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg://u@h/d?ssl=require"),
        ("sqlite:////tmp/x.db", "sqlite+aiosqlite:////tmp/x.db"),
    ],
)
def test_urls(url: str, expected: str) -> None:
    where = locate(data=None, database=url)
    assert where.url.render_as_string(hide_password=False) == expected


@pytest.mark.parametrize("url", ["nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(SetupError, match="--database"):
        locate(data=None, database=url)


def test_nothing_given() -> None:
    with pytest.raises(SetupError, match="--data DIR"):
        locate(data=None, database=None)


async def test_newest_migration_is_the_head(location: Location) -> None:
    """Otherwise every start would migrate."""
    database = await Database.open(location)
    async with database.session() as session:
        found = await session.scalar(text("SELECT version_num FROM alembic_version"))
    await database.close()
    assert found == HEAD
