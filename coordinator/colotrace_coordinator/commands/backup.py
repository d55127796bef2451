"""The commands `backup` and `restore`."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from colotrace_proto.output import say
from colotrace_proto.starting import require

from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.errors import CoordinatorError, SetupError
from colotrace_coordinator.store.authorities import Authorities, kept_secret
from colotrace_coordinator.store.backup.archive import ArchiveReader, Manifest
from colotrace_coordinator.store.backup.restoring import restore as restore_database
from colotrace_coordinator.store.backup.saving import save
from colotrace_coordinator.store.durable import written_whole
from colotrace_coordinator.store.location import Location

from .opened import on_database
from .printed import instant

STANDARD = Path("-")
_FIRST_PROGRESS_S, _PROGRESS_S = 2.0, 5.0
_BUFFER = 1 << 20
NOT_INSIDE = (
    "not in it: the secret of the CA's key (ca.secret, or COLOTRACE_CA_SECRET), settings, and "
    "files that flags name"
)


def backup(where: Location, file: Path) -> None:
    """Write a backup of the database to the file, or to standard output.

    Raises:
        SetupError: there is no database, or the file cannot be written.
        StoreError: the database cannot be used.
    """
    require(files=12, threads=2)  # for the event loop and the database
    began = time.monotonic()
    if file == STANDARD:
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=_BUFFER) as out:
            manifest = asyncio.run(save(where, out, _progress("saved", None)))
    else:
        with written_whole(file) as out:
            manifest = asyncio.run(save(where, out, _progress("saved", None)))
    size = f", {file.stat().st_size:,} bytes" if file != STANDARD else ""
    say(
        f"colotrace-coordinator: backup of {where}: {_summary(manifest)}{size}, in "
        f"{time.monotonic() - began:.1f} s; {NOT_INSIDE}"
    )


def restore(
    where: Location, file: Path, *, replace: bool, secret: str, secret_file: Path | None
) -> None:
    """Restore the database from the file, or from standard input if that is a file. Says if the
    CA's key cannot be used with the secret, which is not in a backup.

    Raises:
        SetupError: the file cannot be read, or the database's directory not be written.
        StoreError: the backup or the database cannot be used.
    """
    require(files=12, threads=2)
    began = time.monotonic()
    with _opened(file) as source:
        archive = ArchiveReader(source, name=str(file))
        done = _progress("restored", archive.manifest.rows)
        asyncio.run(restore_database(where, archive, done, replace=replace))
    say(
        f"colotrace-coordinator: restored {where}: {_summary(archive.manifest)}, of "
        f"{instant(archive.manifest.made_at)}, in {time.monotonic() - began:.1f} s"
    )
    _check_secret(where, secret, secret_file)


def _check_secret(where: Location, secret: str, secret_file: Path | None) -> None:
    authority = on_database(where, lambda database: Authorities(database).described())
    if authority is None:
        return
    try:
        Seal(secret or kept_secret(secret_file)).open(authority.sealed_key)
    except CoordinatorError:
        at = secret_file or "the file of --ca-secret-file, or the variable COLOTRACE_CA_SECRET"
        say(
            "colotrace-coordinator: the CA's key in this backup is encrypted under another secret "
            f"than the one here; before you start the coordinator, put that secret into {at}"
        )


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        if file == STANDARD:
            opened: IO[bytes] = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
        else:
            opened = file.open("rb")
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror or error}") from error
    with opened:
        if not opened.seekable():
            raise SetupError(
                f"cannot read {file}: it is a pipe; give the name of a file, or `restore - < FILE`"
            )
        yield opened


def _progress(verb: str, rows: int | None) -> Callable[[str, int], None]:
    """A callback that prints the progress every few seconds. `rows`: their number, if known."""
    next_at = time.monotonic() + _FIRST_PROGRESS_S

    def tell(table: str, done: int) -> None:
        nonlocal next_at
        if time.monotonic() < next_at:
            return
        next_at = time.monotonic() + _PROGRESS_S
        of = f" of {rows:,} ({done * 100 // max(rows, 1)} %)" if rows is not None else ""
        say(f"colotrace-coordinator: {table}: {done:,}{of} rows {verb}")

    return tell


def _summary(manifest: Manifest) -> str:
    return f"{manifest.rows:,} rows of {len(manifest.tables)} tables, schema {manifest.schema}"
