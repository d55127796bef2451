"""Robust standard output and standard error for the three programs.

`program` runs a program's command line. Before that it replaces `sys.stdout` and `sys.stderr` by
streams with these rules, which apply to `print`, typer's messages and tracebacks:

- a non-blocking descriptor is waited for, so that no output is lost;
- a character that the locale's encoding lacks is substituted (`text.encodable`);
- if standard output cannot be written, the program ends: silently if the reader closed it (`|
  head`), otherwise with one line (full disk, closed descriptor);
- if standard error cannot be written, the text is dropped.

Code in an event loop uses `writer.Writer`, which has the same rules and does not block.
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
"""141: a shell's exit code for a program that SIGPIPE ended."""
EXIT_NOT_WRITTEN = 74
"""EX_IOERR of sysexits.h: standard output cannot be written."""
EXIT_INTERRUPTED = 128 + signal.SIGINT
"""130: a shell's exit code for a program that Ctrl-C ended."""
_MOST_SAID = 16_000
ERRORS = "colotrace.substitute"
"""Name of the codec error handler that substitutes by `text.encodable`."""


class OutputError(Exception):
    """Standard output cannot be written. Not an OSError: libraries must not handle it."""

    def __init__(self, number: int) -> None:
        """`number` is the errno."""
        super().__init__(os.strerror(number))
        self.number = number

    @property
    def exit_code(self) -> int:
        """The program's exit code."""
        return EXIT_READER_GONE if self.number == errno.EPIPE else EXIT_NOT_WRITTEN

    @property
    def words(self) -> str:
        """The message to the user."""
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
        out.failed = True  # so that the exit does not wait for buffered output
        code = EXIT_INTERRUPTED
    sys.exit(code)


def say(words: str) -> None:
    """Write a message of one or several lines to standard error; untrusted text is escaped."""
    sys.stderr.write(safe_lines(words, most=_MOST_SAID) + "\n")


def open_standard_descriptors() -> None:
    """Open those of the descriptors 0 to 2 that are closed, so that no socket or file gets their
    numbers and then receives the program's output.

    Standard input is opened for writing and standard output for reading, so that using them still
    fails. Output to standard error is discarded.
    """
    for descriptor, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)  # gets the lowest free number
            os.set_inheritable(opened, True)  # noqa: FBT003 - the library's signature
            if opened != descriptor:  # a lower one was closed in the meantime
                os.dup2(opened, descriptor)


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of the data; wait for a non-blocking descriptor that is not ready.

    Raises:
        OSError: the descriptor cannot be written.
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
    """The encoding of a standard stream; ASCII if it has none."""
    return getattr(stream, "encoding", None) or "ascii"


class _Descriptor(io.FileIO):
    """A raw stream that writes everything or fails."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.failed = False

    def write(self, data: Any, /) -> int:
        """Write all of a buffer. After a failure all data is dropped; only standard output
        raises."""
        if not self.failed:
            try:
                write_all(self.fileno(), data)
            except OSError as error:
                self.failed = True
                if self.fileno() != STDERR:
                    raise OutputError(error.errno or errno.EIO) from error
        return memoryview(data).nbytes


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
