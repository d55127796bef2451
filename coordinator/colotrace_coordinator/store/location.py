"""The database's location: from the operator's flags to a URL of SQLAlchemy."""

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from colotrace_coordinator.errors import SetupError, StoreUnavailableError

from .space import is_full, no_space_words

FILE_NAME = "colotrace.sqlite3"


@dataclass(frozen=True, slots=True)
class Location:
    """A database; `file` is set for SQLite only."""

    url: URL
    file: Path | None = None

    def __str__(self) -> str:
        """For messages, without the password."""
        return str(self.file) if self.file else self.url.render_as_string(hide_password=True)


def locate(*, data: Path | None, database: str | None) -> Location:
    """The database of `--database URL`, or else the SQLite file in the directory of `--data`.

    Raises:
        SetupError: neither is given, or the URL is not one of PostgreSQL or SQLite.
    """
    if database:
        return _from_url(database)
    if data is None:
        raise SetupError("no database given: use --data DIR, or --database URL for PostgreSQL")
    return located(data / FILE_NAME)


def prepare(file: Path) -> None:
    """Create the SQLite file and its directory, readable by this user only.

    Raises:
        SetupError: the directory cannot be created, or is not writable.
        StoreUnavailableError: the disk is full.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(open_private(file))
    except OSError as error:
        if is_full(error):
            raise StoreUnavailableError(no_space_words(file)) from error
        raise SetupError(
            f"cannot write {file}: {error.strerror}; give a directory that this user may write "
            "with --data DIR"
        ) from error
    # SQLite keeps its journal beside the file.
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise SetupError(
            f"cannot write in {file.parent}; give a directory that this user may write "
            "with --data DIR"
        )


def is_there(path: Path) -> bool:
    """Whether the path exists. True if this user may not look: opening it tells the reason."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def open_private(file: Path) -> int:
    """Open the file, and create it if it is missing, readable by this user only.

    If root creates it in the directory of a service, the file belongs to the directory's owner.
    That user can make symbolic links to files of root: files that exist keep their owner, and
    nothing is created where a link leads.

    Raises:
        OSError: the file cannot be opened for writing.
    """
    while True:
        try:
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            break
        except FileExistsError:
            pass
        try:
            return os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            if file.is_symlink():
                raise
    if os.geteuid() == 0:
        owner = file.parent.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
    return handle


def located(file: Path) -> Location:
    """The SQLite database in this file."""
    return Location(URL.create("sqlite+aiosqlite", database=str(file)), file)


def _from_url(text: str) -> Location:
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SetupError(
            "--database is not a URL; it looks like postgresql://user:password@host/colotrace"
        ) from error
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SetupError("--database sqlite:///… needs a file; the token commands share it")
        return located(Path(url.database))
    if backend not in {"postgresql", "postgres"}:
        raise SetupError(
            f"--database {backend}://… is not supported; use postgresql://… or sqlite:///FILE"
        )
    query = dict(url.query)
    # Providers give URLs with libpq's parameter `sslmode`; asyncpg calls it `ssl`.
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    # libpq takes the password as a parameter, too. There it would be in messages.
    if isinstance(password := query.pop("password", None), str):
        url = url.set(password=password)
    return Location(url.set(drivername="postgresql+asyncpg", query=query))
