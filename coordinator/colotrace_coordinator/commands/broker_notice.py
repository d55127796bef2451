"""How a broker gets to know that its files were written: by a signal, or by a file that a unit of
systemd watches."""

import enum
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.durable import written_whole

CHANGED = "changed"

log = structlog.get_logger("colotrace_coordinator")


class Notice(enum.IntEnum):
    """What the broker has to do: nothing, read its files again, or start again."""

    NOTHING = 0
    RELOAD = 1
    RESTART = 2
    """Mosquitto reads its CA only at its start."""


def notices(out: Path, pid_file: Path | None) -> Callable[[Notice], None]:
    """Tells the broker whose files are in `out`: the process in `pid_file`, if there is one. The
    function raises SetupError if the broker has to be told later."""
    return partial(_signal, pid_file) if pid_file is not None else partial(_leave, out / CHANGED)


def _signal(pid_file: Path, _: Notice) -> None:
    try:
        pid = process_in(pid_file)
        # Mosquitto writes its PID file before it handles the signal, whose default action ends it.
        if not _handles(pid, signal.SIGHUP):
            raise SetupError(
                f"process {pid} in {pid_file} does not handle SIGHUP: it still starts, or it is no "
                "broker"
            )
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError) as error:
        log.warning("broker_not_told", file=str(pid_file), detail=str(error))


def _handles(pid: int, number: signal.Signals) -> bool:
    """By the mask of caught signals (proc(5), `SigCgt`). Raises OSError."""
    status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    (mask,) = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


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


def process_in(file: Path) -> int:
    """The process that the file names. If a user other than root wrote it, that user's: root would
    otherwise signal any process for the broker's user, and by -1 all of them.

    Raises:
        OSError: the file cannot be read, or there is no such process.
        ValueError: it names no process, or one of another user.
    """
    with file.open() as opened:
        text, writer = opened.read(32), os.fstat(opened.fileno()).st_uid
    pid = int(text)
    if pid <= 1:
        raise ValueError(f"{pid} is no process of a broker")
    owner = Path(f"/proc/{pid}").stat().st_uid
    if writer not in (0, owner):
        raise ValueError(f"process {pid} is not of the user who wrote the file")
    return pid
