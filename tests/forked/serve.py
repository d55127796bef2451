"""`python -m forked.serve MODULE…`: the server's side."""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from forked.server import LARGEST_REQUEST

_NEWNS, _NEWNET, _NEWUSER = 0x20000, 0x40000000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1


class _Server:
    """Forks, and reports each child's end."""

    def __init__(self, requests: socket.socket, modules: dict[str, ModuleType]) -> None:
        self._requests, self._modules = requests, modules
        self._statuses: dict[int, int] = {}
        """Where the exit code of a child goes, by its pidfd."""
        self._poller = select.poll()
        self._poller.register(requests, select.POLLIN)

    def serve(self) -> None:
        """Until the socket ends."""
        try:
            while True:
                for fd, _ in self._poller.poll():
                    if fd in self._statuses:
                        self._report(fd)
                    elif not self._fork():
                        return
        finally:
            self._kill_all()

    def _fork(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._requests, LARGEST_REQUEST, 4)
        if not data:
            return False
        *streams, status = fds
        server, pid = os.getpid(), os.fork()
        if pid == 0:
            for fd in (self._requests.detach(), status, *self._statuses, *self._statuses.values()):
                os.close(fd)
            _run(self._modules, json.loads(data), streams, server=server)
        for fd in streams:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._statuses[pidfd] = status
        self._poller.register(pidfd, select.POLLIN)
        socket.send_fds(self._requests, [str(pid).encode()], [pidfd])
        return True

    def _report(self, pidfd: int) -> None:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        status = self._statuses.pop(pidfd)
        self._poller.unregister(pidfd)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(status, str(code).encode())
        os.close(status)
        os.close(pidfd)

    def _kill_all(self) -> None:
        for pidfd in list(self._statuses):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)


def _run(
    modules: dict[str, ModuleType], request: dict[str, Any], streams: list[int], *, server: int
) -> NoReturn:
    """What the child does, up to its end; `server` is its parent's process id."""
    code = 1
    try:
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
            os.close(fd)
        if request["new_session"]:
            os.setsid()
        signal.alarm(request["longest_s"])
        random.seed()  # else every child would draw the same numbers
        _enter(request)
        # So that this process ends if the server is killed, which may have happened already.
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        if request["environment"] is not None:
            os.environ.clear()
            os.environ.update(request["environment"])
        sys.argv = request["command"] or [request["module"]]
        name = request["module"]
        module = modules.get(name) or importlib.import_module(name)
        module.main(*request["arguments"])
        code = 0
    except SystemExit as end:
        code = _code(end)
    except BaseException:  # noqa: BLE001 - the error output has it
        traceback.print_exc()
    finally:
        try:
            atexit._run_exitfuncs()  # the last lines of a log are written there
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _code(end: SystemExit) -> int:
    """As the interpreter takes it."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


def _enter(request: dict[str, Any]) -> None:
    """The namespaces of the request."""
    for path in filter(None, (request["user"], request["network"])):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        _call("setns", fd, 0)
        os.close(fd)
    if request["new_network"]:
        uid, gid = os.geteuid(), os.getegid()
        _call("unshare", _NEWNET if uid == 0 else _NEWNET | _NEWUSER)
        if uid:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
            Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    if request["resolv_conf"]:
        _call("unshare", _NEWNS)
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        source = os.fsencode(request["resolv_conf"])
        _call("mount", source, b"/etc/resolv.conf", None, _MS_BIND, None)


def _call(function: str, *arguments: int | bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def main() -> None:
    """Import, then serve."""
    modules = {name: importlib.import_module(name) for name in sys.argv[1:]}
    gc.freeze()
    _Server(socket.socket(fileno=0), modules).serve()


if __name__ == "__main__":
    main()
