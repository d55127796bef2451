"""Runs somebody else's command, and passes signals on to it."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from colotrace_proto.output import STDERR, STDOUT

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""As shells and env(1) end where the command cannot be started."""
_PASSED = frozenset(
    {
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
# Python ignores these; the command gets them as other programs do.
_AS_BY_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ)
_LOOKS_EACH_S = 0.1
"""Between two looks whether the command has ended."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: its exit code as a shell tells it, and the seconds that it took.
    `why` says why it could not be started; "" if it was."""

    code: int
    took_s: float
    why: str = ""


def run(words: Sequence[str]) -> Ran:
    """Run the command to its end. Its standard output goes to standard error.

    A signal that another process sends to this one is passed on. One from the terminal (Ctrl-C)
    reaches the command anyway, since it is in the same process group.
    """
    awaited = _PASSED | {signal.SIGCHLD}
    began = time.monotonic()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        try:
            # Not subprocess: the command must not inherit the blocked signals.
            pid = os.posix_spawnp(
                words[0],
                list(words),
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, STDERR, STDOUT)],
                setsigmask=before,
                setsigdef=_AS_BY_DEFAULT,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL byte
            missing = isinstance(error, FileNotFoundError)
            why = getattr(error, "strerror", None) or str(error)
            return Ran(NOT_FOUND if missing else NOT_EXECUTABLE, time.monotonic() - began, why)
        status = _waited(pid, awaited)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = os.waitstatus_to_exitcode(status)
    return Ran(code if code >= 0 else 128 - code, time.monotonic() - began)


def _waited(pid: int, awaited: frozenset[signal.Signals]) -> int:
    """The status of the process when it has ended."""
    while True:
        # Another thread, which has not blocked SIGCHLD, may get it instead: hence the limit.
        got = signal.sigtimedwait(awaited, _LOOKS_EACH_S)
        if got is None or got.si_signo == signal.SIGCHLD:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
        elif got.si_code <= 0:  # by a process, not by the kernel
            os.kill(pid, got.si_signo)
