"""Writes to a descriptor in a thread, so that a slow reader never blocks the event loop.

Producers of rows await `drain` before the next row: if the reader stops, the program pauses instead
of filling memory. Producers that must not wait (logs, a status line) use `offer`, which refuses
data beyond the bound.

The descriptor is never switched to non-blocking, because other processes may share it. A write to a
pipe has only whole lines that fit into the pipe, so that a program which ends while its reader is
stopped leaves no partial line.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import stat
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Callable

from .output import STDERR, OutputError

MOST_WAITING = 1 << 20
"""Backlog in bytes beyond which `drain` waits and `offer` refuses."""
_PIECE = 1 << 16
_PAGE = 4096  # least capacity of a slot of a pipe
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0002, 0.02
_LOOK_MS = 100


class Writer:
    """Writes to one descriptor, in the order of `put`.

    Its thread starts with the first data. If standard error cannot be written, all data is dropped.
    For other descriptors `error` is set, and `drain` raises it.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        most: int = MOST_WAITING,
        still_s: float = 1.0,
        collect_s: float = 0.0,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """After `still_s` without progress the reader counts as stopped. Data waits for `collect_s`
        and is written with what follows. `failed` is called once in the current event loop when a
        write fails."""
        self.error: OutputError | None = None
        self._descriptor = descriptor
        self._most, self._still_s, self._collect_s = most, still_s, collect_s
        self._loop = None if failed is None else asyncio.get_running_loop()
        self._failed = failed
        self._pipe = _Pipe(descriptor) if _is_pipe(descriptor) else None
        self._changed = threading.Condition()
        self._waiting: deque[bytes | bytearray] = deque()
        self._bytes = 0
        self._moved = time.monotonic()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._drained: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    @property
    def waiting(self) -> int:
        """The backlog in bytes."""
        return self._bytes

    def put(self, data: bytes | bytearray) -> None:
        """Queue the data; ignored after a failure. Call `drain` regularly."""
        with self._changed:
            if self._ended or not data:
                return
            if not self._bytes:
                self._moved = time.monotonic()
            self._waiting.append(data)
            self._bytes += len(data)
            if self._thread is None:
                # A daemon, since its reader may never read again.
                self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def offer(self, data: bytes) -> bool:
        """Queue the data if there is room; False if there is none."""
        with self._changed:
            if self._bytes + len(data) > self._most and self._bytes:
                return False
            self.put(data)
        return True

    async def drain(self, *, below: int | None = None) -> None:
        """Wait until the backlog is at most `below` bytes, by default the bound.

        Raises:
            OutputError: the descriptor cannot be written, or `give_up` was called.
        """
        most = self._most if below is None else below
        while True:
            with self._changed:
                if self.error is not None:
                    raise self.error
                if self._bytes <= most:
                    return
                moved = asyncio.Event()
                self._drained.append((asyncio.get_running_loop(), moved))
            await moved.wait()

    def hurry(self, *, within_s: float) -> None:
        """From now on, give up when the reader has stopped, and after `within_s` at the latest.

        For a program that is ending. Call it in the event loop.
        """
        loop, end = asyncio.get_running_loop(), time.monotonic() + within_s

        def look() -> None:
            if self._bytes and self._is_stopped(end):
                self.give_up()
            else:
                loop.call_later(_LOOK_MS / 1_000, look)

        look()

    def finish_blocking(self, *, within_s: float) -> None:
        """Wait until all is written, the reader has stopped, or `within_s` is over. For the end of
        a program, outside of the event loop."""
        end = time.monotonic() + within_s
        with self._changed:
            while self._bytes and not self._ended and not self._is_stopped(end):
                self._changed.wait(_LOOK_MS / 1_000)

    def _is_stopped(self, end: float) -> bool:
        """Whether the reader takes nothing any more, or the time is over."""
        now = time.monotonic()
        return now >= end or now - self._moved > self._still_s

    def give_up(self) -> None:
        """Drop the backlog; a pipe gets no partial line."""
        self._fail(errno.ETIMEDOUT)

    def _write(self) -> None:
        try:
            while (data := self._next()) is not None:
                self._write_one(data)
                with self._changed:
                    if self._ended:
                        return
                    self._waiting.popleft()
        except OSError as error:
            self._fail(error.errno or errno.EIO)

    def _next(self) -> bytes | bytearray | None:
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
        if self._collect_s:
            time.sleep(self._collect_s)
        with self._changed:
            if self._ended:
                return None
            if self._collect_s and len(self._waiting) > 1:
                self._waiting = deque([b"".join(self._waiting)])
            return self._waiting[0]

    def _write_one(self, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        at = 0
        pause_s = _FIRST_PAUSE_S
        while at < len(data) and not self._ended:
            size = min(_PIECE, len(data) - at)
            if self._pipe is not None:
                size = self._pipe.fitting(data, at)
                if not size:
                    time.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    continue
                pause_s = _FIRST_PAUSE_S
            try:
                written = os.write(self._descriptor, rest[at : at + size])
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll(_LOOK_MS)
                continue
            if self._pipe is not None:
                self._pipe.took(written)
            at += written
            self._count(written)

    def _count(self, written: int) -> None:
        with self._changed:
            self._moved = time.monotonic()
            self._bytes -= written
            self._wake()

    def _fail(self, number: int) -> None:
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self._waiting.clear()
            self._bytes = 0
            if self._descriptor != STDERR:
                self.error = OutputError(number)
                if self._failed is not None and self._loop is not None:
                    _in_loop(self._loop, self._failed)
            self._wake()

    def _wake(self) -> None:
        self._changed.notify_all()
        drained, self._drained = self._drained, []
        for loop, moved in drained:
            _in_loop(loop, moved.set)


class _Pipe:
    """Lower bound of the free space of a pipe.

    A pipe is a ring of slots of one page. A write first appends the part that exceeds whole pages
    to the last slot, if it fits there, and takes a slot for each page of the rest (pipe_write in
    Linux' fs/pipe.c). A slot is free again when all of it has been read.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._slots: deque[int] = deque()  # bytes written into each slot that may be in use
        self._sum = 0
        self._end = _PAGE  # of the last slot

    def took(self, size: int) -> None:
        """Record one write of `size` bytes."""
        self._sum += size
        beyond = size % _PAGE
        if self._slots and beyond and self._end + beyond <= _PAGE:
            self._slots[-1] += beyond
            self._end += beyond
            size -= beyond
        for begin in range(0, size, _PAGE):
            self._end = min(_PAGE, size - begin)
            self._slots.append(self._end)

    def fitting(self, data: bytes | bytearray, at: int) -> int:
        """Number of bytes from `at` to write now: whole lines that fit; 0 to wait.

        A line that is larger than the pipe is written in pieces. If the reader has closed the pipe,
        the result is not 0, so that the write fails.
        """
        room, empty = self._room()
        if at + room >= len(data):
            return len(data) - at
        end = data.rfind(b"\n", at, at + room) + 1
        if end > at:
            return end - at
        if self._reader_has_gone():
            return len(data) - at
        return room if empty else 0

    def _room(self) -> tuple[int, bool]:
        size = fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ)
        (unread,) = struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, b"\0" * 4))
        while self._slots and self._sum - self._slots[0] >= unread:
            self._sum -= self._slots.popleft()
        used = len(self._slots) * _PAGE
        return max(size - used, 0), not unread

    def _reader_has_gone(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return bool(poll.poll(0))


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _in_loop(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, so nothing waits
        loop.call_soon_threadsafe(act)
