"""The progress line on a terminal."""

import asyncio
import sys
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from colotrace_proto.layout import text_output
from colotrace_proto.output import ERRORS, STDERR, encoding
from colotrace_proto.writer import Writer

T = TypeVar("T")
_EACH_S = 0.1
_CLEAR = b"\r\x1b[K"
_LAST_S = 1.0
_FRAMES, _FRAMES_IN_ASCII = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"


async def shown(words: str, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; meanwhile, a spinner, `words` and the elapsed time on standard error.

    Prints nothing if standard error is not a terminal. Never waits for a stopped terminal.
    """
    if not sys.stderr.isatty():
        return await work
    writer = Writer(STDERR)
    task = asyncio.create_task(_spin(writer, words), name="progress")
    try:
        return await work
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.put(_CLEAR)
        writer.hurry(within_s=_LAST_S)
        await writer.drain(below=0)


async def _spin(writer: Writer, words: str) -> None:
    on = text_output(sys.stderr)
    frames = _FRAMES if on.encodable(_FRAMES) == _FRAMES else _FRAMES_IN_ASCII
    began = time.monotonic()
    columns = max((on.columns or 80) - 1, 1)
    count = 0
    while True:
        if not writer.waiting:
            line = f"{frames[count % len(frames)]} {words} {time.monotonic() - began:.0f} s"
            writer.offer(_CLEAR + on.fit(line, columns).encode(encoding(sys.stderr), ERRORS))
        count += 1
        await asyncio.sleep(_EACH_S)
