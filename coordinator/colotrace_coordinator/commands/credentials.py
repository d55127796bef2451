"""What `token` and `key` do, apart from the command line's own words."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from colotrace_proto.layout import grid, standard_output
from colotrace_proto.output import say
from colotrace_proto.starting import require
from colotrace_proto.text import safe

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.credentials import Credentials, Permission, permission
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location

T = TypeVar("T")
_DAY_S = 86_400.0


def create_token(
    where: Location,
    *,
    account: str,
    permissions: Sequence[str],
    description: str,
    days: float | None,
) -> None:
    """Print a new token, alone."""
    granted = [permission(word) for word in permissions] or [Permission.TRACEROUTE]
    lifetime_s = None if days is None else days * _DAY_S

    async def create(credentials: Credentials) -> str:
        return await credentials.create_token(
            account, permissions=granted, description=safe(description), lifetime_s=lifetime_s
        )

    _print(_run(where, create, makes=True))


def list_tokens(where: Location) -> None:
    """Print a table of all tokens; a token itself is not known any more."""
    lines = _run(where, Credentials.tokens)
    print_table(
        (
            "ID",
            "ACCOUNT",
            "PERMISSIONS",
            "CREATED",
            "LAST USED",
            "EXPIRES",
            "REVOKED",
            "DESCRIPTION",
        ),
        [
            (
                line.id,
                line.account_id,
                ",".join(sorted(line.permissions)),
                instant(line.created_at),
                instant(line.last_used_at),
                instant(line.expires_at),
                instant(line.revoked_at),
                line.description,
            )
            for line in lines
        ],
    )


def revoke_token(where: Location, token_id: str) -> None:
    """The token is refused within seconds."""
    _run(where, lambda credentials: credentials.revoke_token(token_id))


def create_key(
    where: Location, *, account: str, email: str, key: str | None, description: str
) -> None:
    """Print the key, alone."""

    async def create(credentials: Credentials) -> str:
        return await credentials.create_key(
            account, email=email, key=key, description=safe(description)
        )

    _print(_run(where, create, makes=True))


def list_keys(where: Location) -> None:
    """Print a table of all keys; a key itself is not known any more."""
    lines = _run(where, Credentials.keys)
    print_table(
        ["ID", "ACCOUNT", "EMAIL", "CREATED", "LAST-USED", "REVOKED", "DESCRIPTION"],
        [
            (
                line.id,
                line.account_id,
                line.email,
                instant(line.created_at),
                instant(line.last_used_at),
                instant(line.revoked_at),
                line.description,
            )
            for line in lines
        ],
    )


def revoke_key(where: Location, key_id: str) -> None:
    """The key is refused within seconds."""
    _run(where, lambda credentials: credentials.revoke_key(key_id))


def _run(where: Location, act: Callable[[Credentials], Awaitable[T]], *, makes: bool = False) -> T:
    return on_database(where, lambda database: act(Credentials(database)), makes=makes)


def on_database(
    where: Location, act: Callable[[Database], Awaitable[T]], *, makes: bool = False
) -> T:
    """What `act` returns. A SQLite database that is not there is made if it `makes` one, which is
    said: the directory may have been mistyped.

    Raises:
        SetupError: there is no database.
        StoreError: the database cannot be used.
    """
    missing = where.file is not None and not _is_there(where.file)
    if missing and not makes:
        raise SetupError(
            f"there is no database {where}; check --data DIR, or make one: serve, token create and "
            "key create do"
        )
    require(files=12, threads=2)  # the event loop's, the database's

    async def run() -> T:
        database = await Database.open(where, even_full=True)
        try:
            return await act(database)
        finally:
            await database.close()

    result = asyncio.run(run())
    if missing:
        say(
            f"colotrace-coordinator: made a new database, {where}; if the coordinator has "
            "another, check --data"
        )
    return result


def _is_there(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it cannot be reached, and opening it says why
    return True


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows in columns, under their heads."""
    paper = standard_output()
    body = [[paper.text(cell) for cell in row] for row in rows]
    for line in grid(head, body, right=[False] * len(head), gap=2):
        _print(line)


def instant(seconds: int | None) -> str:
    """Seconds since 1970 in words."""
    return "-" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
