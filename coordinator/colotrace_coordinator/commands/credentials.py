"""The commands of `token` and `key`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from colotrace_proto.text import safe

from colotrace_coordinator.store.credentials import Credentials, Permission, permission
from colotrace_coordinator.store.location import Location
from colotrace_coordinator.store.tables import Key, Token

from .opened import on_database
from .printed import instant, print_table, write

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
