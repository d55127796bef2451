"""Whether the file system of SQLite's file has room."""

import errno
import os
import tempfile
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_WANTED = 256 << 10
"""Bytes: SQLite's shared memory file and the first pages of a journal."""


def has_room(directory: Path) -> bool:
    """Whether some more can be written there; tried by a file that has no name."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, _WANTED)
    except OSError as error:
        return not is_full(error)
    return True


def is_full(error: OSError) -> bool:
    """Whether the error says that there is no space, or no quota, left."""
    return error.errno in _FULL


def no_space_words(file: Path) -> str:
    """Fault and remedy."""
    return f"no space left on the device of {file}: free some, or move it with --data DIR"
