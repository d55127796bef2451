"""Accounts, and their tokens and keys."""

import enum
import hmac
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from colotrace_coordinator.errors import SetupError, UnknownIdError

from .database import Database
from .secrets import MAX_SECRET, MIN_KEY, new_id, new_key, new_token, sha256, shorten
from .tables import Account, Key, Token

_ACCOUNT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,32}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,189}")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_Row = TypeVar("_Row", Token, Key)

MAX_DIGESTS = 100_000
_AT_ONCE = 500


class Permission(enum.StrEnum):
    """What a token may do in its account. `api.access.access` says what each permits."""

    TRACEROUTE = "diagnostics:traceroute"
    COLOS = "diagnostics:colos"
    READ = "traceroute:read"
    WRITE = "traceroute:write"
    ADMIN = "admin"


OF_KEYS = frozenset(Permission) - {Permission.ADMIN}
"""What a key may do. A key never expires and is in scripts, so it does not become an
administrator's when the API gets routes of administration: these need a token."""
_OTHER_WORDS = {"magic transit write": Permission.TRACEROUTE}  # the public API's name


@dataclass(frozen=True, slots=True)
class Credential:
    """A valid token, or pair of e-mail and key, with its permissions in each account.

    `expires_at` is in Unix seconds, or None.
    """

    id: str
    grants: Mapping[str, frozenset[Permission]]
    expires_at: int | None = None


class Lapse(enum.StrEnum):
    """Why a token is no longer valid."""

    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A token that was valid once and grants nothing now. `expires_at` as in `Credential`."""

    id: str
    why: Lapse
    expires_at: int | None = None


def is_email(text: str) -> bool:
    """Whether the text has the form of an e-mail address."""
    return _EMAIL.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether the text has the form of a key: 32 to 256 printable characters."""
    return MIN_KEY <= len(text) <= MAX_SECRET and _PRINTABLE.fullmatch(text) is not None


def permission(word: str) -> Permission:
    """The permission with this name.

    Raises:
        SetupError: there is none.
    """
    try:
        return _OTHER_WORDS.get(word.lower()) or Permission(word.lower())
    except ValueError:
        raise SetupError(
            f"there is no permission {word!r}; there are: {', '.join(sorted(Permission))}"
        ) from None


class Credentials:
    """Tokens and keys in the database."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def find_token(self, token: str) -> Credential | Lapsed | None:
        """The token's credential, or why it is no longer valid; None if it is unknown."""
        wanted = sha256(token)
        async with self._database.session() as session:
            row = await session.scalar(select(Token).where(Token.sha256 == wanted))
        if row is None or not hmac.compare_digest(row.sha256, wanted):
            return None
        if row.revoked_at is not None:
            return Lapsed(row.id, Lapse.REVOKED, row.expires_at)
        if row.expires_at is not None and row.expires_at <= self._clock():
            return Lapsed(row.id, Lapse.EXPIRED, row.expires_at)
        # An unknown permission, written by a newer version, is ignored.
        granted = frozenset(p for p in Permission if p in row.permissions.split())
        return Credential(row.id, {row.account_id: granted}, row.expires_at)

    async def find_key(self, email: str, key: str) -> Credential | None:
        """The pair's credential; None if it is unknown or revoked."""
        wanted = sha256(key)
        statement = select(Key).where(
            Key.email == email.lower(), Key.sha256 == wanted, Key.revoked_at.is_(None)
        )
        async with self._database.session() as session:
            rows = [
                row
                for row in await session.scalars(statement.order_by(Key.id))
                if hmac.compare_digest(row.sha256, wanted)
            ]
        if not rows:
            return None
        return Credential(rows[0].id, {row.account_id: OF_KEYS for row in rows})

    async def digests(self) -> frozenset[bytes]:
        """`secrets.short_digest` of the newest `MAX_DIGESTS` tokens and keys that are valid now.
        They are read in parts, so that the event loop is not blocked."""
        found: set[bytes] = set()
        unexpired = or_(Token.expires_at.is_(None), Token.expires_at > self._clock())
        async with self._database.session() as session:
            for table, valid in ((Token, unexpired), (Key, true())):
                statement = (
                    select(table.sha256)
                    .where(table.revoked_at.is_(None), valid)
                    .order_by(table.created_at.desc())
                    .limit(MAX_DIGESTS)
                    .execution_options(yield_per=_AT_ONCE)
                )
                async for part in (await session.stream_scalars(statement)).partitions():
                    found.update(map(shorten, part))
        return frozenset(found)

    async def create_token(
        self,
        account_id: str,
        *,
        permissions: Collection[Permission] = (Permission.TRACEROUTE,),
        description: str = "",
        lifetime_s: float | None = None,
    ) -> str:
        """Create a token of the account. The account is created with its first token.

        Raises:
            SetupError: the account's id is not 1 to 32 characters of [A-Za-z0-9._-].
        """
        token, now = new_token(), int(self._clock())
        async with self._database.session() as session:
            await _ensure_account(session, account_id, now)
            session.add(
                Token(
                    id=new_id(),
                    account_id=account_id,
                    sha256=sha256(token),
                    permissions=" ".join(sorted(permissions)),
                    description=description,
                    created_at=now,
                    expires_at=None if lifetime_s is None else int(now + lifetime_s),
                )
            )
        return token

    async def create_key(
        self, account_id: str, *, email: str, key: str | None = None, description: str = ""
    ) -> str:
        """Create a key for the e-mail, or import the given one.

        Importing a key again changes nothing, except that a revoked key becomes valid.

        Raises:
            SetupError: the account's id, the e-mail or the key is malformed.
        """
        if not is_email(email):
            raise SetupError(f"{email!r} is not an e-mail address")
        if key is not None and not is_key(key):
            raise SetupError(
                f"--key needs {MIN_KEY} to {MAX_SECRET} printable characters without spaces: "
                "a shorter one could be guessed; leave it out to have one made"
            )
        key, now = key or new_key(), int(self._clock())
        async with self._database.session() as session:
            await _ensure_account(session, account_id, now)
            known = await session.scalar(
                select(Key).where(
                    Key.account_id == account_id,
                    Key.email == email.lower(),
                    Key.sha256 == sha256(key),
                )
            )
            if known is None:
                session.add(
                    Key(
                        id=new_id(),
                        account_id=account_id,
                        email=email.lower(),
                        sha256=sha256(key),
                        description=description,
                        created_at=now,
                    )
                )
            else:
                known.revoked_at = None
        return key

    async def all(self, table: type[_Row]) -> list[_Row]:
        """Every token or key, oldest first."""
        async with self._database.session() as session:
            return list(await session.scalars(select(table).order_by(table.created_at, table.id)))

    async def revoke(self, table: type[_Row], row_id: str) -> None:
        """Revoke the token or key.

        Raises:
            UnknownIdError: there is none with this id.
        """
        async with self._database.session() as session:
            row = await session.get(table, row_id)
            if row is None:
                word = table.__name__.lower()
                raise UnknownIdError(f"there is no {word} {row_id!r}; see: {word} list")
            row.revoked_at = row.revoked_at or int(self._clock())

    async def used(self, ids: Iterable[str]) -> None:
        """Record now as the last use of the tokens and keys with these ids."""
        wanted, now = list(ids), int(self._clock())
        async with self._database.session() as session:
            for table in (Token, Key):
                await session.execute(
                    update(table).where(table.id.in_(wanted)).values(last_used_at=now)
                )


async def _ensure_account(session: AsyncSession, account_id: str, now: int) -> None:
    if not _ACCOUNT.fullmatch(account_id):
        raise SetupError(f"the account {account_id!r} is not 1 to 32 of letters, digits, . _ -")
    if await session.get(Account, account_id) is None:
        session.add(Account(id=account_id, created_at=now))
        await session.flush()
