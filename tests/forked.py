"""Runs a module's `main` in a process forked from one that has imported the module.

The imports take several times longer than most cases. The server that forks (`python -m forked
MODULE…`) has one thread, serves one test process, and ends with it. A request is a JSON object over
a Unix socket, with the descriptors of standard input, output, error and status. The child writes
its process id to the status descriptor, and its exit code at its end.
"""

import atexit
import ctypes
import functools
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal, NoReturn, Self

WORLD = ("scenario.serve", "scenario.probe_host")
_ROOT = Path(__file__).parent
_NEWNET, _NEWUSER = 0x40000000, 0x10000000
_LARGEST_REQUEST = 65_536
_LONGEST_S = 120


class Forked:
    """The main function of a module. It is killed after two minutes."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        among: tuple[str, ...] = (),
        network: Literal["ours", "new"] | int = "ours",
        command: tuple[dict[str, str], list[str]] | None = None,
    ) -> None:
        """`main(*arguments)`; with `command`, an environment and a command line are set before.

        `among` names the modules of the server, this one among them. `network` is the namespace:
        the caller's, a new one, or that of a process.
        """
        stdin, self._stdin = os.pipe()
        out, stdout = os.pipe()
        said, status = os.pipe()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.stdout = os.fdopen(out)
        self._status = os.fdopen(said)
        request = {"module": module, "arguments": arguments, "network": network, "command": command}
        theirs = [stdin, stdout, self._stderr.fileno(), status]
        socket.send_fds(_server(among or (module,)), [json.dumps(request).encode()], theirs)
        for fd in (stdin, stdout, status):
            os.close(fd)
        self.pid = int(self._status.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()
        for file in (self.stdout, self._status, self._stderr):
            file.close()

    def finish(self) -> tuple[int, str, str]:
        """End its input; its exit code (-1 if it was killed), and the rest of its output and its
        error output, once it has ended."""
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
        out = self.stdout.read()
        code = int(self._status.readline() or "-1")
        self._stderr.seek(0)
        return code, out, self._stderr.read().decode()


@functools.cache
def _server(modules: tuple[str, ...]) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = subprocess.Popen([sys.executable, "-m", "forked", *modules], cwd=_ROOT, stdin=theirs)
    theirs.close()

    def close() -> None:
        ours.close()
        server.wait()

    atexit.register(close)
    return ours


def _serve(requests: socket.socket, names: list[str]) -> None:
    modules = {name: importlib.import_module(name) for name in names}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    while True:
        request, fds, _, _ = socket.recv_fds(requests, _LARGEST_REQUEST, 4)
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            _run(modules, json.loads(request), fds)
        for fd in fds:
            os.close(fd)


def _run(modules: dict[str, ModuleType], request: dict[str, Any], fds: list[int]) -> NoReturn:
    """What the child does, up to its end."""
    code = 1
    status = fds[3]
    try:
        os.write(status, f"{os.getpid()}\n".encode())
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.alarm(_LONGEST_S)
        for number, fd in enumerate(fds[:3]):
            os.dup2(fd, number)
            os.close(fd)
        random.seed()  # else every child would draw the same numbers
        network = request["network"]
        if network == "new":
            _leave()
        elif network != "ours":
            _join(network)
        if request["command"] is not None:
            environment, sys.argv = request["command"]
            os.environ.clear()
            os.environ.update(environment)
        modules[request["module"]].main(*request["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the error output has it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(status, f"{code}\n".encode())
        os._exit(code)


def _leave() -> None:
    """Enter a new network namespace, and without root a user namespace that owns it."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _NEWNET if uid == 0 else _NEWNET | _NEWUSER)
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _join(pid: int) -> None:
    """Enter the namespaces of a process."""
    for kind in ("net",) if os.geteuid() == 0 else ("user", "net"):
        fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        _call("setns", fd, 0)
        os.close(fd)


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


if __name__ == "__main__":
    _serve(socket.socket(fileno=0), sys.argv[1:])
