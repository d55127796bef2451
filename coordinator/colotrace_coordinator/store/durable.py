"""Files that are replaced as a whole, and survive a power failure."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from colotrace_coordinator.errors import SetupError


@contextmanager
def written_whole(file: Path, *, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A new file that replaces `file` at the end. After an error `file` is as it was before.

    Raises:
        SetupError: it cannot be written.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise _not_written(file, error) from error
    try:
        with os.fdopen(handle, "wb") as opened:
            os.fchmod(handle, mode)  # whatever the umask is
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
        sync(file.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _not_written(file, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Make the content of a file durable, or the names in a directory.

    Raises:
        OSError: the path cannot be opened, or the disk fails.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(file: Path, error: OSError) -> SetupError:
    return SetupError(
        f"cannot write {file}: {error.strerror or error}; give a file that this user may write, on "
        "a device with enough space"
    )
