"""The database that a command works on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from colotrace_proto.output import say
from colotrace_proto.starting import require

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location, is_there

T = TypeVar("T")


def on_database(
    where: Location, act: Callable[[Database], Awaitable[T]], *, makes: bool = False
) -> T:
    """Open the database and return the result of `act`. With `makes`, a missing SQLite database is
    created, and a message says so, because the directory may be mistyped.

    Raises:
        SetupError: there is no database.
        StoreError: the database cannot be used.
    """
    missing = where.file is not None and not is_there(where.file)
    if missing and not makes:
        raise SetupError(
            f"there is no database {where}; check --data DIR. Created by: serve, token create, "
            "key create"
        )
    require(files=12, threads=2)  # for the event loop and the database

    async def run() -> T:
        database = await Database.open(where, even_full=True)
        try:
            return await act(database)
        finally:
            await database.close()

    result = asyncio.run(run())
    if missing:
        say(
            f"colotrace-coordinator: created a new database, {where}; if the coordinator uses "
            "another one, check --data"
        )
    return result
