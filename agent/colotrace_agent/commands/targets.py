"""The targets of `trace`: those of the command line, then one for each line of a file.

A thread reads the file, so that a slow pipe does not block the event loop. Each target is available
as soon as its line is, and the number of chunks read ahead is bounded. The descriptor is read
without Python's buffered files: a thread that waits for a pipe would hold their lock at exit.
"""

import asyncio
import codecs
import os
import select
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from encodings import utf_16  # early: later the agent may be unable to read the library
from itertools import chain

from colotrace_proto.notices import Notice, NoticeCode
from colotrace_proto.text import safe

_LONGEST = 1_000
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARKS = (codecs.BOM_UTF8, *_UTF16)
# White space, and the invisible characters that editors, web pages and office programs leave.
_AROUND = (
    " \t\v\f\x1c\x1d\x1e\x1f\x85\xa0\xad\u1680\u180e\u2028\u2029\u202f\u205f\u3000\ufeff"
    + "".join(map(chr, (*range(0x2000, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))))
)


@dataclass(frozen=True, slots=True)
class Unusable:
    """An invalid target: its text, safe to show, and the reason."""

    text: str
    cause: Notice


class Targets:
    """Iterate over it once. Create it on the event loop; `file` is a descriptor.

    Lines end in LF, CR or both. A line may end in a comment (`#`); blank lines are skipped. The
    file is UTF-8, or UTF-16 with a byte order mark. A line that is not text, or has characters
    that no target has, comes as `Unusable`, which names the line.

    Raises (while iterating):
        OSError: reading the file failed.
    """

    def __init__(
        self,
        given: Iterable[str],
        file: int | None = None,
        *,
        chunk: int = 16_384,
        ahead: int = 2,
    ) -> None:
        """`chunk` is in bytes; at most `ahead` chunks are read before they are needed."""
        self._given = iter(given)
        self._loop = asyncio.get_running_loop()
        self._read: asyncio.Queue[deque[str | Unusable] | OSError | None] = asyncio.Queue()
        self._lines: deque[str | Unusable] = deque()
        self._room = threading.Semaphore(ahead)
        self._closed = False
        if file is None:
            self._read.put_nowait(None)
        else:
            # A daemon thread: the exit does not wait for the end of a pipe.
            threading.Thread(
                target=self._read_all, args=[file, chunk], name="targets", daemon=True
            ).start()

    def __aiter__(self) -> "Targets":
        return self

    async def __anext__(self) -> str | Unusable:
        """The next target, as soon as there is one."""
        if self._closed:
            raise StopAsyncIteration
        given = next(self._given, None)
        if given is not None:
            return _argument(given)
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

    async def several(self) -> list[str | Unusable]:
        """All targets that are available, at least one; none at the end."""
        try:
            first = await anext(self)
        except StopAsyncIteration:
            return []
        rest, self._lines = self._lines, deque()
        return [first, *rest]

    def close(self) -> None:
        """End the iteration, also for a task that waits for the next target."""
        if not self._closed:
            self._closed = True
            self._room.release()
            self._read.put_nowait(None)

    def _read_all(self, file: int, chunk: int) -> None:
        end = None
        try:
            for targets in _targets(_chunks(file, chunk)):
                if not targets:
                    continue
                self._room.acquire()
                if self._closed:
                    return
                self._say(targets)
        except OSError as error:
            end = error
        self._say(end)

    def _say(self, read: deque[str | Unusable] | OSError | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._read.put_nowait, read)
        except RuntimeError:  # the loop has ended
            self._closed = True


def _argument(given: str) -> str | Unusable:
    try:
        given.encode()
    except UnicodeEncodeError:
        text = safe(given)
        return Unusable(text, Notice(NoticeCode.TEXT, reason=f"{text} is not UTF-8"))
    return given


def _targets(chunks: Iterator[bytes]) -> Iterator[deque[str | Unusable]]:
    """Targets as their lines arrive, grouped by chunk."""
    number = 1
    for lines in _lines(_text(chunks)):
        found = (_target(line, number + place) for place, line in enumerate(lines))
        yield deque(target for target in found if target is not None)
        number += len(lines)


def _target(line: bytes, number: int) -> str | Unusable | None:
    """The target of the line with that number; None if the line is blank."""
    content = line.partition(b"#")[0]
    try:
        target = content.decode().strip(_AROUND)
    except UnicodeDecodeError:
        shown = content.decode(errors="surrogateescape").strip(_AROUND)
        return _unusable(shown, number, "is not UTF-8; save the file as UTF-8")
    if not target:
        return None
    if len(content) > _LONGEST:
        return _unusable(
            target, number, f"is longer than {_LONGEST} bytes; write one target a line"
        )
    if target.isprintable() and " " not in target:
        return target
    if "\0" in target:
        return _unusable(target, number, "holds NUL bytes; if the file is UTF-16, save it as UTF-8")
    if " " in target or "\t" in target:
        return _unusable(target, number, "holds a space; write one target a line")
    return _unusable(target, number, "holds a character that no target has; remove it")


def _unusable(text: str, number: int, why: str) -> Unusable:
    reason = f"line {number} of the targets file {why}"
    return Unusable(safe(text), Notice(NoticeCode.TEXT, reason=reason))


def _lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines as they arrive, grouped by chunk. Only the beginning of a line that is too long is
    kept."""
    rest = b""
    after_cr = False
    for chunk in chunks:
        text = chunk.removeprefix(b"\n") if after_cr else chunk
        after_cr = chunk.endswith(b"\r")
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = (rest + text).split(b"\n")
        rest = rest[: _LONGEST + 1]
        yield whole
    yield [rest]


def _text(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What is read, in UTF-8, without a byte order mark."""
    begin = b""
    for chunk in chunks:
        begin += chunk
        # A slow pipe may have brought a part of a mark only.
        if not any(mark.startswith(begin) and mark != begin for mark in _MARKS):
            break
    if begin[:2] in _UTF16:
        decoder = utf_16.IncrementalDecoder(errors="replace")
        yield from (decoder.decode(chunk).encode() for chunk in chain([begin], chunks))
        return
    yield begin.removeprefix(codecs.BOM_UTF8)
    yield from chunks


def _chunks(file: int, size: int) -> Iterator[bytes]:
    """What is read, up to the end, which a terminal or a pipe tells only once."""
    while chunk := _next(file, size):
        yield chunk


def _next(file: int, size: int) -> bytes:
    while True:
        try:
            return os.read(file, size)
        except BlockingIOError:  # whoever shares it has made it so
            select.select([file], [], [])
