"""The operator's command, `colotrace`, against the coordinator of a fleet."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulated import Screen, on_terminal, read_some
from eventually import wait_until

from fleet.fleet import ACCOUNT, Fleet

COLOTRACE = Path(sys.executable).parent / "colotrace"
_WITHIN_S = 60


class Operator:
    """Somebody who uses the command; `home` has its state, and is shared where it is the same."""

    def __init__(self, fleet: Fleet, home: Path) -> None:
        self._settings = {
            "COLOTRACE_URL": fleet.base_url,
            "COLOTRACE_TOKEN": fleet.token,
            "COLOTRACE_ACCOUNT": ACCOUNT,
            "XDG_STATE_HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, as a script does."""
        return subprocess.run(
            [COLOTRACE, *words],
            env=os.environ | self._settings,
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=False,
        )

    @contextmanager
    def begin(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start it as a script does; it is killed at the end if it still runs."""
        with subprocess.Popen(
            [COLOTRACE, *words],
            env=os.environ | self._settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def watch(self, *words: str) -> Iterator[Watched]:
        """Start it on a terminal."""
        with on_terminal(words, self._settings, program=[str(COLOTRACE)]) as started:
            watched = Watched(*started)
            try:
                yield watched
            finally:
                watched.close()


class Watched:
    """The command on a terminal that is read all the time, so that it never waits for that."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self._screen = Screen(100)
        self._lock = threading.Lock()
        self._reading = threading.Thread(target=self._read, args=(terminal,))
        self._reading.start()

    def _read(self, terminal: int) -> None:
        for piece in read_some(terminal):
            with self._lock:
                self._screen.feed(piece)

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self._reading.join()

    @property
    def text(self) -> str:
        """What is on the screen now."""
        with self._lock:
            return "\n".join(self._screen.lines)

    def until(self, words: str) -> None:
        """Return as soon as these words are on the screen."""
        wait_until(
            lambda: words in self.text, within_s=_WITHIN_S, error=lambda: TimeoutError(self.text)
        )

    def end(self) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(_WITHIN_S)
        self._reading.join()
        return code
