"""A process that a server has forked, with those methods of `subprocess.Popen` that tests use."""

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Sequence


class Forked:
    """Its process id, its end, and signals to it. Wait for its end, or `close` it."""

    def __init__(self, args: Sequence[str], pid: int, *, pidfd: int, status: int) -> None:
        """`status` is where the server writes the exit code, and `pidfd` is for signals."""
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self._pidfd, self._status = pidfd, status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not ended within so many seconds.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """SIGKILL, if it still runs, and wait for its end."""
        self.kill()
        self.wait()

    def _ended(self, timeout: float | None) -> int | None:
        poller = select.poll()
        with self._lock:
            if self.returncode is not None:
                return self.returncode
            poller.register(self._status, select.POLLIN)
        if not poller.poll(None if timeout is None else timeout * 1000):
            return None
        with self._lock:
            if self.returncode is None:
                # An empty read means that the server has ended, and its children with it.
                self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)
                os.close(self._status)
                os.close(self._pidfd)
            return self.returncode
