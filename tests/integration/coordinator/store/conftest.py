"""The same tests on SQLite and on a PostgreSQL server of their own."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location, locate
from sqlalchemy import text

# Debian keeps the server's programs off PATH.
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class Clock:
    """A clock that the test moves; in seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server that listens on a Unix socket alone, and ends with the session."""
    initdb = next((p / "initdb" for p in _PROGRAMS if (p / "initdb").exists()), None)
    if initdb is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    user = None
    if os.geteuid() == 0:
        # It refuses to run as root.
        user = next((u for u in ("postgres", "nobody") if _exists(u)), None)
    # Short, because a Unix socket's path is at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="ctpg-", dir="/tmp"))
    try:
        if user:
            shutil.chown(directory, user)
        data = directory / "data"
        _run([initdb, "-D", data, "-U", "colotrace", "-A", "trust", "--no-sync"], user)
        server = subprocess.Popen(
            [
                initdb.with_name("postgres"),
                *("-D", data, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off"),
            ],
            user=user,
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stderr is not None
            for line in server.stderr:
                if "ready to accept connections" in line:
                    break
            else:
                pytest.fail("PostgreSQL did not start")
            yield f"postgresql://colotrace@/postgres?host={directory}"
        finally:
            server.terminate()
            try:
                server.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.communicate()
    finally:
        shutil.rmtree(directory)


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
    """Up to date and empty."""
    database = await Database.open(location)
    yield database
    await database.close()
    if location.file is None:
        await empty(location)


async def empty(location: Location) -> None:
    """Drop all that a test has made on the shared server."""
    database = Database(location)
    async with database.session() as session:
        await session.execute(text("DROP SCHEMA public CASCADE"))
        await session.execute(text("CREATE SCHEMA public"))
    await database.close()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once it holds, as often as it takes to ask; the test's own timeout ends it."""
    while not await holds():  # noqa: ASYNC110 - only the database knows
        await asyncio.sleep(0)


def _run(command: list[str | Path], user: str | None) -> None:
    subprocess.run(command, user=user, check=True, capture_output=True, cwd="/")


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
