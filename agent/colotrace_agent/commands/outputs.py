"""What `trace` prints: rows on standard output, notes and a status line on standard error.

Neither descriptor blocks the event loop. Producers of rows await `drain`, so tracing pauses while a
reader does not read.
"""

import sys
from collections.abc import Callable
from contextlib import suppress

from colotrace_proto.layout import text_output
from colotrace_proto.output import ERRORS, STDERR, STDOUT, OutputError
from colotrace_proto.text import safe
from colotrace_proto.writer import Writer

_LAST_ROWS_S = 5.0
"""Maximum time to write the last rows of an interrupted run."""
_CLEAR = b"\r\x1b[K"


class Outputs:
    """Standard output and standard error of one run. Create it on the event loop."""

    def __init__(self, failed: Callable[[], None]) -> None:
        """`failed` is called once when standard output can no longer be written."""
        self._out = Writer(STDOUT, failed=failed)
        self._err = Writer(STDERR)
        self.stdout = text_output(sys.stdout)
        # A status line that shares its terminal with the rows is written in one order with them.
        self._status_on = self._out if sys.stdout.isatty() else self._err
        self._status = False
        self.hurried = False
        self._stderr = text_output(sys.stderr)

    @property
    def error(self) -> OutputError | None:
        """Why standard output cannot be written."""
        return self._out.error

    def row(self, data: bytes | bytearray) -> None:
        """Print one row or several, whole lines."""
        if self._status and self._status_on is self._out:
            data = _CLEAR + data
            self._status = False
        self._out.put(data)

    def text(self, text: str) -> None:
        """Print text for people, whole lines."""
        self.row(text.encode(self.stdout.encoding, ERRORS))

    def note(self, words: str) -> None:
        """Print a line on standard error, made safe for a terminal."""
        line = safe(words, most=1_000) + "\n"
        self.clear_status()
        self._err.put(line.encode(self._stderr.encoding, ERRORS))

    def status(self, words: str) -> None:
        """Show the words as the last line of the terminal; skipped while output is behind."""
        if self._status_on.waiting:
            return
        columns = self._stderr.columns or 80
        data = self._stderr.fit(words, max(columns - 1, 1)).encode(self._stderr.encoding, ERRORS)
        self._status = self._status_on.offer(_CLEAR + data)

    def clear_status(self) -> None:
        """Remove the status line."""
        if self._status:
            self._status_on.put(_CLEAR)
            self._status = False

    async def drain(self) -> None:
        """Wait until the readers have taken enough for more to be printed. Returns at once if
        standard output cannot be written: `close` raises that once for all its callers."""
        with suppress(OutputError):
            await self._out.drain()
            await self._err.drain()

    def hurry(self) -> None:
        """The run is to end: wait only `_LAST_ROWS_S` for a reader that does not read. The second
        call does not wait at all."""
        for writer in (self._out, self._err):
            if self.hurried:
                writer.give_up()
            else:
                writer.hurry(within_s=_LAST_ROWS_S)
        self.hurried = True

    async def close(self) -> None:
        """Wait until all has been written.

        Raises:
            OutputError: standard output cannot be written.
        """
        self.clear_status()
        await self._out.drain(below=0)
        await self._err.drain(below=0)

    async def last_words(self, words: str) -> None:
        """Print a note and wait until it has been written."""
        self.note(words)
        await self._err.drain(below=0)
