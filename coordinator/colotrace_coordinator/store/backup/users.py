"""Which process has a SQLite database open."""

import fcntl
import os
import struct
from pathlib import Path

# https://www.sqlite.org/src/file/src/os.h: in WAL mode each connection holds a shared lock on this
# range of the database file as long as it is open.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
_LOCK = struct.Struct("@hhqqi4x")  # struct flock of fcntl(2)


def user_of(file: Path) -> int | None:
    """The id of a process that has the database open; None if no other one has. 0 stands for one
    that cannot be seen from here, as in another container.

    Raises:
        OSError: the file cannot be opened.
    """
    handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
        kind, _, _, _, holder = _LOCK.unpack(fcntl.fcntl(handle, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else max(holder, 0)
    finally:
        # Closing drops the locks of this process on the file: it must have no connection to it.
        os.close(handle)
