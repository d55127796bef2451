"""Programs inside the lab: started in a host's namespaces, stopped by their ids."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from forked import Forked

from lab.namespaces import DIRECTORY
from lab.owner import MARK, Tag

_TERM_WAIT_S = 5.0
_KILL_WAIT_S = 5.0

# The mount namespace is private to the program, so the machine's own /etc stays as it is. Each
# step replaces the one before it (exec), so the program keeps the process id that was started.
_ENTER = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


class Process(subprocess.Popen[bytes]):
    """A program in the lab: a `Popen` that can be stopped with a deadline."""

    def stop(self, *, wait_s: float = _TERM_WAIT_S) -> int:
        """SIGTERM, then SIGKILL where it has not ended within `wait_s`; its return code."""
        stop_all([self], wait_s=wait_s)
        return self.returncode


def stop_all(processes: Iterable[Process | Forked], *, wait_s: float = _TERM_WAIT_S) -> None:
    """Stop several at once, within one deadline for all."""
    running = list(processes)
    for process in running:
        process.terminate()
    deadline = time.monotonic() + wait_s
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if isinstance(process, Process):
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()


def entered(namespace: str, argv: Sequence[str | Path], *, resolv_conf: Path) -> list[str]:
    """The command line that runs `argv` in a network namespace, with a resolv.conf of its own."""
    return [
        "nsenter",
        f"--net={DIRECTORY / namespace}",
        "unshare",
        "--mount",
        "sh",
        "-c",
        _ENTER,
        "sh",
        str(resolv_conf),
        *map(str, argv),
    ]


def environment(tag: Tag, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The caller's environment with the lab's mark, and with Debian's system directories."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, MARK: str(tag), **(extra or {})}


def kill_remaining(tags: Iterable[Tag], namespaces: Iterable[str]) -> None:
    """Kill what still runs in these namespaces, or anywhere else with one of these labs' marks."""
    marks = {f"{MARK}={tag}".encode() for tag in tags}
    inodes = set()
    for name in namespaces:
        with contextlib.suppress(FileNotFoundError):
            inodes.add((DIRECTORY / name).stat().st_ino)
    fds = []
    try:
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                fd = _open_if_ours(entry, marks=marks, inodes=inodes)
                if fd is not None:
                    fds.append(fd)
        for fd in fds:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        _wait_gone(fds)
    finally:
        for fd in fds:
            os.close(fd)


def _open_if_ours(entry: Path, *, marks: set[bytes], inodes: set[int]) -> int | None:
    """A pidfd of the process if it belongs to one of the labs."""
    try:
        fd = os.pidfd_open(int(entry.name))
    except ProcessLookupError:
        return None
    try:
        # Asked after the process is held, so that the answer is not about a later one of its id.
        ours = (entry / "ns/net").stat().st_ino in inodes or not marks.isdisjoint(
            (entry / "environ").read_bytes().split(b"\0")
        )
    except OSError:  # gone, a kernel thread, or somebody else's
        ours = False
    if ours:
        return fd
    os.close(fd)
    return None


def _wait_gone(fds: list[int]) -> None:
    """Wait until the processes have ended: a pidfd is readable from then on."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    deadline = time.monotonic() + _KILL_WAIT_S
    left = len(fds)
    while left:
        ended = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ended:
            raise RuntimeError(f"{left} processes of a lab survive SIGKILL")
        for fd, _ in ended:
            poller.unregister(fd)
            left -= 1
