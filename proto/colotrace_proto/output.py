"""Standard output and standard error of the three programs, whatever they are connected to.

`program` runs a program's command line. Before that it replaces `sys.stdout` and `sys.stderr` by
streams that hold for `print`, for the command line library's messages and for tracebacks:

- a descriptor that does not block is waited for; nothing is lost or torn there;
- a character that the locale's encoding lacks has a substitute (`text.encodable`);
- standard output that cannot be written ends the program: quietly where the reader has gone
  (`| head`), in one line otherwise (full disk, closed descriptor);
- standard error that cannot be written is no reason to end: the text is dropped.

Code in an event loop writes through `writer.Writer`, which has the same rules and does not block.
"""

import codecs
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from .text import encodable, safe_lines

STDOUT, STDERR = 1, 2
EXIT_READER_GONE = 128 + signal.SIGPIPE
"""141: what a shell shows for a program that SIGPIPE ended."""
EXIT_NOT_WRITTEN = 74
"""EX_IOERR of sysexits.h: standard output cannot be written."""
EXIT_INTERRUPTED = 128 + signal.SIGINT
"""130: what a shell shows for a program that Ctrl-C ended."""
_MOST_SAID = 16_000
ERRORS = "colotrace.substitute"
"""Error handler for encoding: substitutes of `text.encodable`."""


class OutputError(Exception):
    """Standard output cannot be written. Not an OSError: libraries must not handle it."""

    def __init__(self, number: int) -> None:
        """`number` is the errno."""
        super().__init__(os.strerror(number))
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code that tells the reason."""
        return EXIT_READER_GONE if self.number == errno.EPIPE else EXIT_NOT_WRITTEN

    @property
    def words(self) -> str:
        """What the user has to know."""
        if self.number == errno.ETIMEDOUT:
            return "standard output is not read: not all rows were written"
        what = "it is closed" if self.number == errno.EBADF else str(self)
        return f"standard output cannot be written: {what}"


def program(name: str, command_line: Callable[[], object]) -> NoReturn:
    """Run a program's command line with safe streams, and end with its exit code."""
    open_standard_descriptors()
    out = _Descriptor(STDOUT)
    sys.stdout, sys.stderr = _stream(out, sys.stdout), _stream(_Descriptor(STDERR), sys.stderr)
    code: int | str | None = None
    try:
        try:
            command_line()
        except SystemExit as ended:
            code = ended.code
            if code == EXIT_INTERRUPTED:
                raise KeyboardInterrupt from None
        sys.stdout.flush()
    except OutputError as error:
        if error.number != errno.EPIPE:
            say(f"{name}: {error.words}")
        code = error.exit_code
    except KeyboardInterrupt:
        out.failed = True  # what waits to be written is not waited for at the end
        code = EXIT_INTERRUPTED
    sys.exit(code)


def say(words: str) -> None:
    """Write a message, of one line or several, to standard error; strangers' text in it becomes
    safe."""
    sys.stderr.write(safe_lines(words, most=_MOST_SAID) + "\n")


def open_standard_descriptors() -> None:
    """Open those of the descriptors 0 to 2 that are closed, so that no socket or file gets their
    numbers and then the program's output.

    They are opened the wrong way round where that makes each use fail as before: reading from
    standard input, writing to standard output. What is written to standard error vanishes.
    """
    for descriptor, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)  # the lowest number that is free
            os.set_inheritable(opened, True)  # noqa: FBT003 - the library's signature
            if opened != descriptor:  # a lower one was closed meanwhile
                os.dup2(opened, descriptor)


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of the data, and wait where the descriptor is not ready and does not block.

    Raises:
        OSError: it cannot be written.
    """
    rest = memoryview(data).cast("B")
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


def encoding(stream: TextIO | None) -> str:
    """The encoding of a standard stream; ASCII where there is none."""
    return getattr(stream, "encoding", None) or "ascii"


class _Descriptor(io.RawIOBase):
    """A descriptor that takes everything or fails."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failed = False

    def writable(self) -> bool:
        """It is for writing only."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        """Write all of it, a buffer; standard error fails silently, standard output once."""
        size = memoryview(data).nbytes
        if self.failed:
            return size
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            self.failed = True
            if self._descriptor != STDERR:
                raise OutputError(error.errno or errno.EIO) from error
        return size


def _stream(raw: _Descriptor, before: TextIO | None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding(before),
        errors=ERRORS,
        line_buffering=raw.fileno() == STDERR or raw.isatty(),
    )


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return encodable(error.object[error.start : error.end], error.encoding), error.end


codecs.register_error(ERRORS, _substitute)
