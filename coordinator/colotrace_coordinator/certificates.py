"""Certificates that are replaced while the program runs: taken within seconds, or on SIGHUP."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from .errors import SetupError

LOOK_S = 10.0

Reload = Callable[[], None]
"""Takes the files as they are; raises SetupError where they cannot be used, and keeps the old."""


class CertificateWatch:
    """Looks at the files now and then, and has them taken when they have changed.

    Files are replaced one after the other: what does not fit together is told once, and tried again
    at each look until it does.
    """

    def __init__(
        self,
        files: Iterable[Path],
        reloads: Sequence[Reload],
        *,
        log: FilteringBoundLogger,
        look_s: float = LOOK_S,
    ) -> None:
        self._files = tuple(files)
        self._reloads = reloads
        self._log = log
        self._look_s = look_s
        self._asked = asyncio.Event()
        self._taken = self._states()
        self._told = ""

    def ask(self) -> None:
        """Take the files now, changed or not (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._asked.wait()
            states = self._states()
            if self._asked.is_set() or states != self._taken:
                self._asked.clear()
                self._take(states)

    def _take(self, states: tuple[object, ...]) -> None:
        try:
            for reload in self._reloads:
                reload()
        except SetupError as error:
            if str(error) != self._told:
                self._told = str(error)
                self._log.warning("certificates_not_taken", detail=self._told)
            return
        self._taken, self._told = states, ""
        self._log.info("certificates_taken", files=[str(file) for file in self._files])

    def _states(self) -> tuple[object, ...]:
        return tuple(map(_state, self._files))


def _state(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
