"""The targets that `trace` was given: those on the command line, then a file's, line by line.

Lines are read by a thread of their own, so that a slow pipe holds nothing up: each target is
there as soon as its line is, and no more are read ahead than a reader will soon want. The
descriptor is read without Python's buffered files, whose locks a reader that is still waiting
for its pipe would hold when the process ends.
"""

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Iterable, Iterator

_AHEAD = 2  # chunks
_CHUNK = 16_384
_LONGEST = 1_000


class Targets:
    """To be iterated over once. Made inside an event loop; `file` is a descriptor.

    A line may end in a comment (`#`); what is blank is passed over.

    Raises (while iterating):
        OSError: the file cannot be read on.
    """

    def __init__(self, given: Iterable[str], file: int | None = None) -> None:
        self._given = iter(given)
        self._loop = asyncio.get_running_loop()
        self._read: asyncio.Queue[deque[str] | OSError | None] = asyncio.Queue()
        self._lines: deque[str] = deque()
        self._room = threading.Semaphore(_AHEAD)
        self._closed = False
        if file is None:
            self._read.put_nowait(None)
        else:
            # A daemon: nobody waits for the end of a pipe that nobody reads any more.
            threading.Thread(
                target=self._read_all, args=[file], name="targets", daemon=True
            ).start()

    def __aiter__(self) -> "Targets":
        return self

    async def __anext__(self) -> str:
        """The next target, as soon as there is one."""
        if self._closed:
            raise StopAsyncIteration
        given = next(self._given, None)
        if given is not None:
            return given
        if self._lines:
            return self._lines.popleft()
        read = await self._read.get()
        self._room.release()
        if isinstance(read, deque) and not self._closed:
            self._lines = read
            return self._lines.popleft()
        self.close()
        if isinstance(read, OSError):
            raise read
        raise StopAsyncIteration

    async def several(self) -> list[str]:
        """The next targets, as many as are there, as soon as there is one; none in the end."""
        try:
            first = await anext(self)
        except StopAsyncIteration:
            return []
        rest, self._lines = self._lines, deque()
        return [first, *rest]

    def close(self) -> None:
        """There is no next one, also for somebody who waits for it."""
        if not self._closed:
            self._closed = True
            self._room.release()
            self._read.put_nowait(None)

    def _read_all(self, file: int) -> None:
        end = None
        try:
            for lines in _lines(file):
                named = (line.partition("#")[0].strip()[:_LONGEST] for line in lines)
                targets = deque(target for target in named if target)
                if not targets:
                    continue
                self._room.acquire()
                if self._closed:
                    return
                self._say(targets)
        except OSError as error:
            end = error
        self._say(end)

    def _say(self, read: deque[str] | OSError | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._read.put_nowait, read)
        except RuntimeError:  # the loop has ended
            self._closed = True


def _lines(file: int) -> Iterator[list[str]]:
    """Lines as they come, those that come together at once; of one that is far too long, no more
    than its beginning is kept."""
    rest = b""
    while chunk := _next(file):
        *whole, rest = (rest + chunk).split(b"\n")
        rest = rest[:_LONGEST]
        yield [line.decode(errors="replace") for line in whole]
    yield [rest.decode(errors="replace")]


def _next(file: int) -> bytes:
    while True:
        try:
            return os.read(file, _CHUNK)
        except BlockingIOError:  # whoever shares it has made it so
            select.select([file], [], [])
