"""What a terminal shows while the command works: lines on standard error that are drawn again."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from colotrace_proto.layout import TextOutput, text_output
from colotrace_proto.output import ERRORS, STDERR, encoding
from colotrace_proto.writer import Writer

T = TypeVar("T")
Draw = Callable[[TextOutput, int], list[str]]
"""The lines for an output with so many rows."""
EACH_S = 0.1
_LAST_S = 1.0
_FRAMES, _FRAMES_IN_ASCII = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
_UP, _END_OF_LINE, _REST = "\x1b[{}A", "\x1b[K", "\x1b[J"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"


def watched() -> bool:
    """Whether somebody looks at a terminal that lines can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


async def shown(draw: Draw, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; meanwhile, the lines of `draw`, ten times a second.

    Prints nothing if standard error is not a terminal. Never waits for a stopped terminal.
    """
    if not watched():
        return await work
    writer = Writer(STDERR)
    frames = _Frames()
    task = asyncio.create_task(_drawn(writer, frames, draw), name="screen")
    try:
        return await work
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.put(frames.last())
        writer.hurry(within_s=_LAST_S)
        await writer.drain(below=0)


def waiting(words: str, began: float) -> Draw:
    """One line: a spinner, `words` and the seconds since `began` (monotonic)."""
    return lambda on, _: [spinner(on, words, began)]


def spinner(on: TextOutput, words: str, began: float, *, so_far: str = "") -> str:
    """The line of `waiting`, within the width; `words` are shortened, `so_far` is not."""
    passed_s = asyncio.get_running_loop().time() - began
    frames = _FRAMES if on.encodable(_FRAMES) == _FRAMES else _FRAMES_IN_ASCII
    frame = frames[int(passed_s / EACH_S) % len(frames)]
    end = f"{so_far} {passed_s:.0f} s"
    room = max(_columns(on) - len(frame) - 1 - len(end), 1)
    return on.fit(f"{frame} {on.fit(on.encodable(words), room)}{end}", _columns(on))


async def _drawn(writer: Writer, frames: "_Frames", draw: Draw) -> None:
    while True:
        if not writer.waiting:
            on = text_output(sys.stderr)
            room = _rows() - 1  # the cursor stands below the lines
            writer.offer(frames.next(draw(on, room)[:room]))
        await asyncio.sleep(EACH_S)


def _rows() -> int:
    try:
        rows = os.get_terminal_size(STDERR).lines
    except OSError:
        rows = 0
    return max(rows or 24, 2)


def _columns(on: TextOutput) -> int:
    # A line that fills the last column wraps on some terminals.
    return max((on.columns or 80) - 1, 1)


class _Frames:
    """The bytes that replace the lines drawn before by new ones."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._begun = False

    def next(self, lines: list[str]) -> bytes:
        """Draw these lines instead."""
        if lines == self._before:
            return b""
        text = "" if self._begun else _HIDE
        self._begun = True
        text += self._back() + "".join(f"{line}{_END_OF_LINE}\n" for line in lines) + _REST
        self._before = lines
        return text.encode(encoding(sys.stderr), ERRORS)

    def last(self) -> bytes:
        """Leave nothing behind."""
        return (self._back() + _REST + _SHOW).encode() if self._begun else b""

    def _back(self) -> str:
        return "\r" + _UP.format(len(self._before)) if self._before else "\r"
