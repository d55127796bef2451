"""A forked program that is driven by pipes."""

import os
import subprocess
from collections.abc import Callable

from forked.process import Forked


class Piped:
    """Its standard input and output, as of `subprocess.Popen` with pipes. End it by `stop`."""

    def __init__(self, start: Callable[[int, int], Forked]) -> None:
        """`start` forks the program, with these descriptors as its input and its output."""
        stdin, ours = os.pipe()
        self.stdin = os.fdopen(ours, "wb")
        theirs, stdout = os.pipe()
        self.stdout = os.fdopen(theirs, "rb")
        try:
            self._process = start(stdin, stdout)
        except BaseException:
            self._close()
            raise
        finally:
            os.close(stdin)
            os.close(stdout)
        self.pid = self._process.pid

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait()

    def stop(self, *, wait_s: float = 5.0) -> int:
        """SIGTERM, then SIGKILL where it has not ended within `wait_s`; its exit code."""
        self._process.terminate()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.close()
        self._close()
        return self._process.wait()

    def _close(self) -> None:
        self.stdin.close()
        self.stdout.close()
