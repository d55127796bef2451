"""Runs the tests with SQLite and with a PostgreSQL server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location, locate
from fleet.postgresql import postgresql_server
from integration.coordinator.store.backups import fill, saved
from manual_clock import ManualClock
from sqlalchemy import text


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000.0)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server on a UNIX socket, for the session."""
    with postgresql_server() as url:
        yield url


@pytest.fixture(
    # One worker starts the server.
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))]
)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "sqlite":
        return locate(data=tmp_path / "data", database=None)
    return locate(data=None, database=request.getfixturevalue("postgresql"))


@pytest.fixture
async def database(location: Location) -> AsyncIterator[Database]:
    """A migrated, empty database."""
    database = await Database.open(location)
    yield database
    await database.close()
    if location.file is None:
        await empty(location)


@pytest.fixture
async def backup(database: Database, location: Location, tmp_path: Path) -> Path:
    """A backup of a database with rows in every table."""
    await fill(database)
    return await saved(location, tmp_path / "backup")


async def empty(location: Location) -> None:
    """Drop everything that a test has created on the shared server."""
    database = Database(location)
    async with database.session() as session:
        await session.execute(text("DROP SCHEMA public CASCADE"))
        await session.execute(text("CREATE SCHEMA public"))
    await database.close()
