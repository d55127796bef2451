#!/usr/bin/env python3
"""Runs a command where a lab can be built: `python tests/lab/enter.py COMMAND…`.

With the capabilities of root it just runs the command. Without, it makes a user namespace in which
the caller is root, with network, mount and process namespaces of its own, and runs it there: no
network but loopback, /run empty, files as the caller's. Where no such namespace can be made it says
why and ends with 77, or with `--if-possible` before the command runs it as it is: what needs a lab
will then skip. Needs nothing beyond the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

_NEWNS, _NEWUSER, _NEWPID, _NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_NEEDED = {"NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21}
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

REMEDY = (
    "run as root, or allow user namespaces: sysctl user.max_user_namespaces=10000, and where they "
    "exist kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0"
)

_libc = ctypes.CDLL(None, use_errno=True)


def missing_capabilities() -> list[str]:
    """The capabilities a lab needs that this process lacks."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # /proc is not mounted, which `access.reason` tells
        return [] if os.geteuid() == 0 else list(_NEEDED)
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return [f"CAP_{name}" for name, bit in _NEEDED.items() if not held >> bit & 1]
    return list(_NEEDED)


def main(argv: list[str]) -> int:
    """Run `argv`; its exit status."""
    lenient = argv[:1] == ["--if-possible"]
    argv = argv[1:] if lenient else argv
    if not argv:
        print("usage: enter.py [--if-possible] COMMAND [ARGUMENT]…", file=sys.stderr)
        return 2
    # Where Debian has ip and nft; not on every user's PATH.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if not missing_capabilities() or (lenient and not _is_possible()):
        os.execvp(argv[0], argv)  # noqa: S606 (to be replaced by the command is the purpose)
    try:
        return _run_inside(argv)
    except OSError as error:
        print(f"no lab here: {error}; {REMEDY}", file=sys.stderr)
        return 77


def _is_possible() -> bool:
    """Try it: only the attempt tells what a security module, a container or a sysctl forbids."""
    return subprocess.run([sys.executable, __file__, "true"]).returncode == 0


def _run_inside(argv: list[str]) -> int:
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"cannot make a user namespace: {os.strerror(code)}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    # What comes before the handlers are there waits for them: the first process of a namespace
    # would not even notice it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    child = os.fork()
    if child == 0:
        os._exit(_first_process(argv))
    return _wait_forwarding(child)


def _first_process(argv: list[str]) -> int:
    """The init of the new namespaces: it mounts, runs the command, and buries the orphans."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A session of its own: Ctrl-C then reaches the command once, forwarded, and not three times.
    os.setsid()
    try:
        _mount()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no lab here: {error}; {REMEDY}", file=sys.stderr)
        return 77
    try:
        command = subprocess.Popen(argv, preexec_fn=_let_signals_in)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        return 127
    return _wait_forwarding(command.pid)


def _mount() -> None:
    resolv_conf = Path("/etc/resolv.conf")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    Path("/run/netns").mkdir()
    # Where resolv.conf is a link into /run, its place must exist to be mounted over.
    if not resolv_conf.exists() and resolv_conf.is_symlink():
        place = Path(os.path.realpath(resolv_conf))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _let_signals_in() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)


def _wait_forwarding(child: int) -> int:
    """Wait for a child, pass it the signals that ask to end, reap others; its exit status."""

    def forward(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    _let_signals_in()
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
