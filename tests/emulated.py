"""A terminal of a test: what a program has drawn, as a person would see it."""

import codecs
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fcntl import ioctl
from functools import partial
from typing import Any

COMMAND = [sys.executable, "-m", "colotrace_cli"]
_START = partial(subprocess.Popen, start_new_session=True)
_CUT = re.compile(r"\x1b(\[\??\d*)?\Z")
_PIECE = re.compile(r"\x1b\[(\??)(\d*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+|\x1b")


class Screen:
    """The lines on an endless screen. Understands what the command writes, and nothing else."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.hidden = False
        self.widest = 0
        self._cut = ""

    def feed(self, text: str) -> None:
        """Draw this. A control sequence may come in two pieces."""
        text = self._cut + text
        cut = _CUT.search(text)
        self._cut = cut[0] if cut else ""
        text = text.removesuffix(self._cut)
        for piece in _PIECE.finditer(text):
            if piece[3]:
                self._control(piece[1], piece[2], piece[3])
            elif piece[0] == "\r":
                self.column = 0
            elif piece[0] == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            else:
                self._write(piece[0])

    def _write(self, text: str) -> None:
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)
        self.widest = max(self.widest, self.column)

    def _control(self, private: str, number: str, kind: str) -> None:
        if private:
            assert number == "25", number
            self.hidden = kind == "l"
        elif kind == "A":
            assert self.row >= int(number)
            self.row -= int(number)
        elif kind == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif kind == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        else:
            assert kind == "m", kind


@contextmanager
def on_terminal(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    columns: int = 100,
    rows: int = 40,
    program: Sequence[str] = COMMAND,
    start: Callable[..., Any] = _START,
    **streams: int,
) -> Iterator[tuple[Any, int]]:
    """The command as a process whose terminal this test holds; `streams` replace its own. `start`
    is what starts it."""
    ours, theirs = pty.openpty()
    try:
        ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        process = start(
            [*program, *arguments],
            env=clean | {"TERM": "xterm-256color", "COLUMNS": ""} | environment,
            **({"stdin": theirs, "stdout": theirs, "stderr": theirs} | streams),
        )
    finally:
        os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_all(terminal: int) -> str:
    """Everything up to the end of the program that holds the terminal."""
    return "".join(read_some(terminal))


def read_some(terminal: int) -> Iterator[str]:
    """The same, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # EIO: the other end is closed
            return
        if not part:
            return
        yield decoder.decode(part)
