"""The commands of `token` and `key`."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from colotrace_proto.layout import grid, text_output
from colotrace_proto.output import say
from colotrace_proto.starting import require
from colotrace_proto.text import safe

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.credentials import Credentials, Permission, permission
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location, is_there
from colotrace_coordinator.store.tables import Key, Token

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
    """Create a token and print it, with nothing else."""
    granted = [permission(word) for word in permissions] or [Permission.TRACEROUTE]
    lifetime_s = None if days is None else days * _DAY_S

    async def create(credentials: Credentials) -> str:
        return await credentials.create_token(
            account, permissions=granted, description=safe(description), lifetime_s=lifetime_s
        )

    write(_run(where, create, makes=True))


def list_tokens(where: Location) -> None:
    """Print a table of all tokens, without the tokens themselves."""
    print_table(
        _run(where, lambda credentials: credentials.all(Token)),
        {
            "ID": lambda token: token.id,
            "ACCOUNT": lambda token: token.account_id,
            "PERMISSIONS": lambda token: ",".join(sorted(token.permissions.split())),
            "CREATED": lambda token: instant(token.created_at),
            "LAST USED": lambda token: instant(token.last_used_at),
            "EXPIRES": lambda token: instant(token.expires_at),
            "REVOKED": lambda token: instant(token.revoked_at),
            "DESCRIPTION": lambda token: token.description,
        },
    )


def revoke_token(where: Location, token_id: str) -> None:
    """Revoke a token. Coordinators refuse it within seconds."""
    _run(where, lambda credentials: credentials.revoke(Token, token_id))


def create_key(
    where: Location, *, account: str, email: str, key: str | None, description: str
) -> None:
    """Create or import a key and print it, with nothing else."""

    async def create(credentials: Credentials) -> str:
        return await credentials.create_key(
            account, email=email, key=key, description=safe(description)
        )

    write(_run(where, create, makes=True))


def list_keys(where: Location) -> None:
    """Print a table of all keys, without the keys themselves."""
    print_table(
        _run(where, lambda credentials: credentials.all(Key)),
        {
            "ID": lambda key: key.id,
            "ACCOUNT": lambda key: key.account_id,
            "EMAIL": lambda key: key.email,
            "CREATED": lambda key: instant(key.created_at),
            "LAST-USED": lambda key: instant(key.last_used_at),
            "REVOKED": lambda key: instant(key.revoked_at),
            "DESCRIPTION": lambda key: key.description,
        },
    )


def revoke_key(where: Location, key_id: str) -> None:
    """Revoke a key. Coordinators refuse it within seconds."""
    _run(where, lambda credentials: credentials.revoke(Key, key_id))


def _run(where: Location, act: Callable[[Credentials], Awaitable[T]], *, makes: bool = False) -> T:
    return on_database(where, lambda database: act(Credentials(database)), makes=makes)


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


def write(line: str) -> None:
    """Print a line, with nothing else."""
    sys.stdout.write(line + "\n")


def print_table(rows: Iterable[T], columns: Mapping[str, Callable[[T], str]]) -> None:
    """Print the rows with a header; `columns` makes each column's cell of a row."""
    terminal = text_output(sys.stdout)
    body = [[terminal.text(cell(row)) for cell in columns.values()] for row in rows]
    for line in grid(list(columns), body, right=[False] * len(columns), gap=2):
        write(line)


def instant(seconds: int | None) -> str:
    """Unix seconds as ISO 8601; "-" for None."""
    return "-" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
