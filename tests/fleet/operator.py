"""The operator's command, `colotrace`, against the coordinator of a fleet."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from emulated import Screen, on_terminal, read_some
from eventually import wait_until
from forked import Forked
from lab import programs

from fleet.fleet import ACCOUNT, Fleet

COLOTRACE = "colotrace"
_WITHIN_S = 60


class Operator:
    """Somebody who uses the command; `home` has its state, and is shared where it is the same."""

    def __init__(self, fleet: Fleet, home: Path) -> None:
        self._lab = fleet.lab
        self._settings = {
            "COLOTRACE_URL": fleet.base_url,
            "COLOTRACE_TOKEN": fleet.token,
            "COLOTRACE_ACCOUNT": ACCOUNT,
            "XDG_STATE_HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, as a script does."""
        argv = [COLOTRACE, *words]
        return self._lab.run_forked(None, argv, env=self._settings, timeout_s=_WITHIN_S)

    @contextmanager
    def begin(self, *words: str) -> Iterator[Begun]:
        """Start it as a script does; it is killed at the end if it still runs."""
        out, theirs = os.pipe()
        with os.fdopen(out) as stdout, TemporaryFile("w+") as errors:
            try:
                process = self._lab.fork(
                    None, [COLOTRACE, *words], env=self._settings, stdout=theirs, stderr=errors
                )
            finally:
                os.close(theirs)
            try:
                yield Begun(process, stdout, errors)
            finally:
                process.close()

    @contextmanager
    def watch(self, *words: str) -> Iterator[Watched]:
        """Start it on a terminal."""
        with on_terminal(words, self._settings, program=[COLOTRACE], start=programs.start) as begun:
            watched = Watched(*begun)
            try:
                yield watched
            finally:
                watched.close()


class Begun:
    """The command without a terminal."""

    def __init__(self, process: Forked, stdout: TextIO, errors: TextIO) -> None:
        self._process, self.stdout, self._errors = process, stdout, errors

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._process.send_signal(signal.SIGINT)

    def end(self, *, within_s: float) -> tuple[int, str, str]:
        """Wait for the end; the exit code, the rest of its output, and its error output."""
        code = self._process.wait(within_s)
        self._errors.seek(0)
        return code, self.stdout.read(), self._errors.read()


class Watched:
    """The command on a terminal that is read all the time, so that it never waits for that."""

    def __init__(self, process: Forked, terminal: int) -> None:
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
