"""The certificate authority in the database."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.authority.generations import (
    SIGNS_AFTER_S,
    Generation,
    Generations,
)
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.errors import NoAuthorityError, SetupError

from .database import Database
from .inserting import insert_into
from .location import is_there, open_private
from .tables import StoredAuthority

_FIRST = 1
"""The id of the first authority."""


class Authorities:
    """Reads, creates and replaces the authority."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def announce(self, address: str) -> None:
        """Note where agents enrol, HOST:PORT, for the join tokens that are made from now on."""
        async with self._database.session() as session:
            await session.execute(update(StoredAuthority).values(address=address))

    async def all(self) -> list[StoredAuthority]:
        """The trusted authorities as they are stored, oldest first."""
        async with self._database.session() as session:
            return await _trusted(session)

    async def described(self) -> StoredAuthority | None:
        """The authority that signs now, as it is stored; None if there is none yet."""
        now, stored = self._clock(), await self.all()
        return next((each for each in reversed(stored) if each.signs_at <= now), None)

    async def open(self, seal: Seal) -> Generations:
        """The authority with those that replace it. The first is created once; coordinators that
        start together get the same one.

        Raises:
            SetupError: a key was encrypted under another secret.
        """
        async with self._database.session() as session:
            stored = await _trusted(session)
            if not stored:
                new = Authority.create(clock=self._clock)
                insert = insert_into(StoredAuthority, dialect=self._database.dialect)
                statement = insert.values(
                    id=_FIRST,
                    certificate=new.certificate,
                    sealed_key=seal.close(new.export()),
                    address="",
                    created_at=int(self._clock()),
                )
                await session.execute(statement.on_conflict_do_nothing())
                stored = await _trusted(session)
        return Generations([self._opened(each, seal) for each in stored], clock=self._clock)

    async def read(self, known: Generations, seal: Seal) -> None:
        """Update `known` to the authorities that are stored now.

        Raises:
            SetupError: the key of one that is not known was encrypted under another secret.
        """
        stored = await self.all()
        if stored:
            former = {each.number: each for each in known.trusted}
            known.trust([former.get(each.id) or self._opened(each, seal) for each in stored])

    async def rotate(self, seal: Seal) -> float:
        """Create an authority that replaces the present one; when it signs, in Unix seconds.

        Raises:
            NoAuthorityError: there is none yet.
        SetupError: two are trusted, or the secret is wrong.
        """
        async with self._database.session() as session:
            stored = await _trusted(session, locked=True)
            if not stored:
                raise NoAuthorityError
            if len(stored) > 1:
                raise SetupError(
                    "the CA was replaced before, and the former one is still trusted; it is "
                    "retired by itself, or at once by colotrace-coordinator ca retire"
                )
            [present] = stored
            new = Authority.create(clock=self._clock)
            signs_at = int(self._clock() + SIGNS_AFTER_S)
            session.add(
                StoredAuthority(
                    id=present.id + 1,
                    certificate=new.certificate,
                    sealed_key=seal.close(new.export()),
                    address=present.address,
                    created_at=int(self._clock()),
                    signs_at=signs_at,
                    crossed=self._opened(present, seal).authority.cross_sign(new),
                )
            )
        return signs_at

    async def retire(self, numbers: Collection[int] | None = None) -> int:
        """Stop trusting these authorities, by default all but the newest. Returns how many.

        Raises:
            SetupError: the one that replaces them does not sign yet.
        """
        now = int(self._clock())
        async with self._database.session() as session:
            stored = await _trusted(session, locked=True)
            if stored and stored[-1].signs_at > now:
                raise SetupError(
                    f"the new CA signs in {stored[-1].signs_at - now} s; try again then"
                )
            former = [each for each in stored[:-1] if numbers is None or each.id in numbers]
            for each in former:
                each.retired_at = now
            return len(former)

    async def reseal(self, seal: Seal, new: Seal) -> None:
        """Encrypt the keys under another secret.

        Raises:
            SetupError: a key was encrypted under another secret than `seal`.
        """
        async with self._database.session() as session:
            for each in await session.scalars(select(StoredAuthority).with_for_update()):
                each.sealed_key = new.close(seal.open(each.sealed_key))

    def _opened(self, stored: StoredAuthority, seal: Seal) -> Generation:
        authority = Authority.load(
            stored.certificate, seal.open(stored.sealed_key), clock=self._clock
        )
        return Generation(stored.id, authority, stored.signs_at, stored.crossed or b"")


async def _trusted(session: AsyncSession, *, locked: bool = False) -> list[StoredAuthority]:
    query = select(StoredAuthority).where(StoredAuthority.retired_at.is_(None))
    if locked:
        query = query.with_for_update()
    return list(await session.scalars(query.order_by(StoredAuthority.id)))


def secret_in(file: Path) -> str:
    """The secret in a file. A missing file is created with a new secret, readable by the owner of
    its directory only.

    Raises:
        SetupError: the file cannot be read or created.
    """
    try:
        # A file that is there may be read-only, as a container's secrets are.
        if file.exists() and (secret := file.read_text(encoding="utf-8").strip()):
            return secret
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(open_private(file), "r+", encoding="utf-8") as opened:
            # Coordinators that start together must not each write a secret of their own.
            fcntl.flock(opened, fcntl.LOCK_EX)
            if secret := opened.read().strip():
                return secret
            secret = secrets.token_hex(32)
            opened.write(f"{secret}\n")
            opened.flush()
            os.fsync(opened.fileno())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SetupError(f"cannot read the secret of the CA's key in {file}: {reason}") from error
    return secret


def kept_secret(file: Path | None) -> str:
    """The secret in a file, which is not created; "" if there is none.

    Raises:
        SetupError: the file cannot be read.
    """
    return secret_in(file) if file is not None and is_there(file) else ""
