"""How a broker gets to know that its files were written: by a signal, or by a file that a unit of
systemd watches."""

import enum
import os
import re
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.durable import written_whole

CHANGED = "changed"
_PID = re.compile(rb"[0-9]{1,9}\s*")

log = structlog.get_logger("colotrace_coordinator")


class Notice(enum.IntEnum):
    """What the broker has to do: nothing, read its files again, or start again."""

    NOTHING = 0
    RELOAD = 1
    RESTART = 2
    """Mosquitto reads its CA only at its start."""


def notices(out: Path, pid_file: Path | None) -> Callable[[Notice], None]:
    """Tells the broker whose files are in `out`: the process in `pid_file`, if there is one. The
    function raises OSError or SetupError if the broker has to be told later."""
    return partial(_signal, pid_file) if pid_file is not None else partial(_leave, out / CHANGED)


def _signal(pid_file: Path, _: Notice) -> None:
    try:
        pid, pidfd = process_in(pid_file)
    except (FileNotFoundError, ProcessLookupError, ValueError) as error:
        # A broker that starts later reads the files then.
        log.warning("broker_not_told", file=str(pid_file), detail=str(error))
        return
    except PermissionError as error:
        raise _not_allowed(pid_file) from error
    try:
        # Mosquitto writes its PID file before it handles the signal, whose default action ends it.
        if not _handles(pid, signal.SIGHUP):
            raise SetupError(
                f"process {pid} in {pid_file} does not handle SIGHUP yet: it is still starting, or "
                "it is not a broker"
            )
        signal.pidfd_send_signal(pidfd, signal.SIGHUP)
    except PermissionError as error:
        raise _not_allowed(pid_file) from error
    finally:
        os.close(pidfd)


def _not_allowed(pid_file: Path) -> SetupError:
    return SetupError(
        f"this user may not read {pid_file}, or not signal its process: run the command as root or "
        "as the broker's user"
    )


def _handles(pid: int, number: signal.Signals) -> bool:
    """By the mask of caught signals (proc(5), `SigCgt`). Raises OSError."""
    status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    masks = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def _leave(file: Path, notice: Notice) -> None:
    """Leave the notice in a file, which its reader takes away. A restart that was not read yet
    stays."""
    with suppress(FileNotFoundError):
        if file.read_text() == _text(Notice.RESTART):
            return
    with written_whole(file, mode=0o640) as opened:
        opened.write(_text(notice).encode())


def _text(notice: Notice) -> str:
    return f"{notice.name.lower()}\n"


def process_in(file: Path) -> tuple[int, int]:
    """The process that the file names, and a pidfd of it for the caller to close. If a user other
    than root wrote the file, that user's process: root would otherwise signal any process for the
    broker's user, and by -1 all of them.

    Raises:
        OSError: the file cannot be read, or there is no such process.
        ValueError: it is no regular file, or it names no process, or one of another user.
    """
    # That user may also have put a link to another one's file there, or a FIFO.
    with open(file, "rb", opener=_itself) as opened:
        about = os.fstat(opened.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a regular file")
        text = opened.read(32)
    if _PID.fullmatch(text) is None or (pid := int(text)) <= 1:
        raise ValueError(f"it is not the number of a process: {text!r}")
    pidfd = os.pidfd_open(pid)
    try:
        _check_owner(pid, writer=about.st_uid)
    except BaseException:
        os.close(pidfd)
        raise
    return pid, pidfd


def _check_owner(pid: int, *, writer: int) -> None:
    if writer not in (0, Path(f"/proc/{pid}").stat().st_uid):
        raise ValueError(f"process {pid} is not of the user who wrote the file")


def _itself(path: str, flags: int) -> int:
    if Path(path).is_symlink():
        raise ValueError("it is a symbolic link; give the file itself")
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
