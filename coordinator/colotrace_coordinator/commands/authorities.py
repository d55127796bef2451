"""The commands of `ca`."""

import time
from pathlib import Path

from colotrace_proto.output import say

from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.errors import NoAuthorityError, SetupError
from colotrace_coordinator.store.authorities import Authorities, kept_secret, secret_in
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.durable import sync
from colotrace_coordinator.store.location import Location

from .opened import on_database
from .printed import instant, write

_NEW = ".new"


def show(where: Location) -> None:
    """Print the CA's certificate, and with it the one that replaces it or is replaced.

    Raises:
        NoAuthorityError: there is no CA yet.
    """
    stored = on_database(where, lambda database: Authorities(database).all())
    if not stored:
        raise NoAuthorityError
    write("".join(each.certificate.decode() for each in stored).rstrip())


def rotate(where: Location, *, secret: str, secret_file: Path | None) -> None:
    """Replace the CA by a new one, and say when that signs.

    Raises:
        NoAuthorityError: there is no CA yet.
        SetupError: two are trusted, or the secret is wrong.
    """
    seal = Seal(_secret(secret, secret_file))
    signs_at = on_database(where, lambda database: Authorities(database).rotate(seal))
    say(
        f"colotrace-coordinator: a new CA signs from {instant(int(signs_at))} on; the former one "
        "is trusted until its last certificate has ended. Give clients both: "
        "colotrace-coordinator ca show"
    )


def retire(where: Location) -> None:
    """Trust the former CA no more.

    Raises:
        SetupError: there is no former one, or the new one does not sign yet.
    """
    retired = on_database(where, lambda database: Authorities(database).retire())
    if not retired:
        raise SetupError("there is one CA only; colotrace-coordinator ca rotate makes a new one")


def reseal(
    where: Location, *, secret: str, secret_file: Path | None, new_file: Path | None
) -> None:
    """Encrypt the CA's key under another secret: that in `new_file`, which is created if it is
    missing, or else a new one, which replaces the one in `secret_file`.

    Raises:
        SetupError: the secret is wrong, or neither file is given.
    """
    replaced = None
    if new_file is None:
        if secret or secret_file is None:
            raise SetupError("give the file of the new secret by --new-secret-file")
        replaced, new_file = secret_file, secret_file.with_name(secret_file.name + _NEW)
    old, new = Seal(_secret(secret, secret_file)), Seal(secret_in(new_file))

    async def run(database: Database) -> None:
        authorities = Authorities(database)
        try:
            await authorities.reseal(old, new)
        except SetupError:
            # An earlier run may have ended before it replaced the file.
            await authorities.reseal(new, new)

    on_database(where, run)
    if replaced is not None:
        new_file.replace(replaced)
        sync(replaced.parent)
    say(
        f"colotrace-coordinator: the CA's key is encrypted under the secret in "
        f"{replaced or new_file} since {instant(int(time.time()))}; give it to all coordinators "
        "for their next start"
    )


def _secret(secret: str, file: Path | None) -> str:
    found = secret or kept_secret(file)
    if not found:
        raise SetupError(
            "give the secret of the CA's key in the variable COLOTRACE_CA_SECRET, or in a file by "
            "--ca-secret-file"
        )
    return found
