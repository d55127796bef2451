"""Pipes whose ends a test holds."""

import fcntl
import os
import sys
import termios
import time


class Pipe:
    """A pipe; `out` and `into` are the descriptors of its ends, -1 once closed."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()

    def size(self) -> int:
        """Capacity in bytes, if each of its pages is filled."""
        return fcntl.fcntl(self.into, fcntl.F_GETPIPE_SZ)

    def unread(self) -> int:
        """Bytes that have been written and not read."""
        return int.from_bytes(fcntl.ioctl(self.out, termios.FIONREAD, bytes(4)), sys.byteorder)

    def write(self, data: bytes) -> None:
        """Write what fits into the pipe."""
        os.write(self.into, data)

    def read_all(self, *, pause_s: float = 0.0) -> bytes:
        """Everything up to the end. With a pause after each page, the reader is slow."""
        read = b""
        while part := os.read(self.out, 4_096):
            read += part
            time.sleep(pause_s)
        return read

    def end(self) -> None:
        """Close the writing end."""
        self.into = _closed(self.into)

    def leave(self) -> None:
        """Close the reading end."""
        self.out = _closed(self.out)


def _closed(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1
