"""Reloads certificates that are replaced while the program runs, within seconds or on SIGHUP."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from .errors import SetupError

CHECK_S = 10.0
"""Interval at which the files are checked."""

Reload = Callable[[], None]
"""Reloads the files. Raises SetupError if they cannot be used, and keeps the former ones."""


class CertificateWatch:
    """Checks the files periodically, and has them reloaded when they have changed.

    Files are replaced one after the other. Files that do not match are logged once, and tried again
    at each check.
    """

    def __init__(
        self,
        files: Iterable[Path],
        reloads: Sequence[Reload],
        *,
        log: FilteringBoundLogger,
        check_s: float = CHECK_S,
    ) -> None:
        self._files = tuple(files)
        self._reloads = reloads
        self._log = log
        self._check_s = check_s
        self._asked = asyncio.Event()
        self._loaded = self._states()
        self._logged = ""

    def ask(self) -> None:
        """Reload the files now, changed or not (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check_s):
                    await self._asked.wait()
            states = self._states()
            if self._asked.is_set() or states != self._loaded:
                self._asked.clear()
                self._reload(states)

    def _reload(self, states: tuple[object, ...]) -> None:
        try:
            for reload in self._reloads:
                reload()
        except SetupError as error:
            if str(error) != self._logged:
                self._logged = str(error)
                self._log.warning("certificates_not_taken", detail=self._logged)
            return
        self._loaded, self._logged = states, ""
        self._log.info("certificates_taken", files=[str(file) for file in self._files])

    def _states(self) -> tuple[object, ...]:
        return tuple(map(_state, self._files))


def _state(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
