"""The certificate authority in the database."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite

from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.errors import SetupError

from .database import Database
from .location import open_private
from .tables import StoredAuthority

_ONLY = 1
"""The id of the one authority."""


class Authorities:
    """Reads and creates the authority."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def announce(self, address: str) -> None:
        """Note where agents enrol, HOST:PORT, for the join tokens that are made from now on."""
        async with self._database.session() as session:
            await session.execute(
                update(StoredAuthority).where(StoredAuthority.id == _ONLY).values(address=address)
            )

    async def described(self) -> StoredAuthority | None:
        """The authority as it is stored; None if there is none yet."""
        async with self._database.session() as session:
            return await session.get(StoredAuthority, _ONLY)

    async def open(self, seal: Seal) -> Authority:
        """The authority. It is created once; coordinators that start together get the same one.

        Raises:
            SetupError: its key was encrypted under another secret.
        """
        async with self._database.session() as session:
            stored = await session.get(StoredAuthority, _ONLY)
            if stored is None:
                new = Authority.create(clock=self._clock)
                insert = (
                    postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
                )
                statement = insert(StoredAuthority).values(
                    id=_ONLY,
                    certificate=new.certificate,
                    sealed_key=seal.close(new.export()),
                    address="",
                    created_at=int(self._clock()),
                )
                await session.execute(statement.on_conflict_do_nothing())
                stored = await session.get_one(StoredAuthority, _ONLY)
        return Authority.load(stored.certificate, seal.open(stored.sealed_key), clock=self._clock)


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
    if file is None or not file.exists():
        return ""
    return secret_in(file)
