"""Runs somebody else's command, and passes signals on to it."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from colotrace_proto.output import STDERR

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""As shells and env(1) end where the command cannot be started."""
_BY_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_PASSED = (*_BY_TERMINAL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: its exit code as a shell tells it, and the seconds that it took.
    `why` says why it could not be started; "" if it was."""

    code: int
    took_s: float
    why: str = ""


def run(words: Sequence[str]) -> Ran:
    """Run the command to its end. Its standard output goes to standard error.

    Signals are passed on. Ctrl-C is not, since the terminal sends it to the command, too.
    """
    began = time.monotonic()
    sys.stderr.flush()
    with _signals() as command:
        try:
            process = subprocess.Popen(words, stdout=STDERR)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte
            missing = isinstance(error, FileNotFoundError)
            why = getattr(error, "strerror", None) or str(error)
            return Ran(NOT_FOUND if missing else NOT_EXECUTABLE, time.monotonic() - began, why)
        command.began(process)
        _wait(process)
        code = process.wait()
    return Ran(code if code >= 0 else 128 - code, time.monotonic() - began)


def _wait(process: "subprocess.Popen[bytes]") -> None:
    """Return once the process has ended. Meanwhile handlers of signals run at once.

    The kernel may give a signal to another thread, such as one of numpy's, and then the main thread
    is not woken by it. A byte in the pipe of `set_wakeup_fd` wakes it in any case.
    """
    try:
        ended = os.pidfd_open(process.pid)
    except ProcessLookupError:  # it has ended, and a signal's handler has noticed
        return
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        poll = select.poll()
        for each in (woken, ended):
            poll.register(each, select.POLLIN)
        while ended not in (found := [each for each, _ in poll.poll()]):
            if woken in found:
                os.read(woken, 4_096)
    finally:
        signal.set_wakeup_fd(before)
        for each in (woken, wakes, ended):
            os.close(each)


class _Command:
    """The process that gets the signals; those that came before its start, as soon as it runs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []

    def began(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._waiting:
            process.send_signal(number)

    def take(self, number: int, _frame: FrameType | None) -> None:
        if number in _BY_TERMINAL and _in_foreground():
            return
        if self._process is None:
            self._waiting.append(number)
        else:
            self._process.send_signal(number)


@contextmanager
def _signals() -> Iterator[_Command]:
    """Take signals for the command. One that is ignored stays so, as below nohup(1)."""
    command = _Command()
    before = {number: signal.getsignal(number) for number in _PASSED}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, command.take)
        yield command
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Whether a terminal's keys send signals to this process group, and so to the command."""
    try:
        with open("/dev/tty", "rb") as terminal:  # noqa: PTH123 - no file of its own
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
