"""Checks the free space on the SQLite file's file system."""

import errno
import os
import tempfile
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_WANTED = 256 << 10
"""In bytes: for SQLite's shared memory file and the first pages of a journal."""


def has_room(directory: Path) -> bool:
    """Whether `_WANTED` bytes can be allocated in the directory, tried with an unnamed file."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, _WANTED)
    except OSError as error:
        return not is_full(error)
    return True


def is_full(error: OSError) -> bool:
    """Whether the error means a full disk or an exhausted quota."""
    return error.errno in _FULL


def no_space_words(file: Path) -> str:
    """The message: fault and remedy."""
    return f"no space left on the device of {file}: free some, or move it with --data DIR"
