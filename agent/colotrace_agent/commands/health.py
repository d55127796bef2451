"""A file that says whether the agent is attached, for the health check of a container.

The agent listens on no port that a check could ask. The file is on a file system in memory: its
content is `attached` or `waiting`, and its time of modification shows that the event loop runs.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

INTERVAL_S = 1.0
_PART = ".part"

_log = structlog.get_logger()


async def keep_health(file: Path, *, attached: Callable[[], bool]) -> None:
    """Write the file every `INTERVAL_S` until cancelled, then remove it."""
    failed = False
    try:
        while True:
            try:
                _write(file, "attached\n" if attached() else "waiting\n")
            except OSError as error:
                if not failed:
                    _log.warning("health file not written", file=str(file), reason=error.strerror)
                failed = True
            await asyncio.sleep(INTERVAL_S)
    finally:
        _remove(file)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)


def _write(file: Path, text: str) -> None:
    # Replaced as a whole: a check never reads an empty file.
    part = file.with_name(file.name + _PART)
    part.write_text(text)
    part.replace(file)
