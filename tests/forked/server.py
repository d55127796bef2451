"""The process that imports modules and forks, and how it is asked.

A request is a JSON object over a Unix socket, with the descriptors of the child's standard input,
output and error, and of the pipe for its exit code. The answer is its process id, with a pidfd. The
server has one thread, and ends with its socket; what it has forked is killed then.
"""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from forked.process import Forked

LARGEST_REQUEST = 65_536
_ROOT = Path(__file__).parent.parent

Stream = int | IO[bytes]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the child does: `main(*arguments)` of a module."""

    module: str
    """One that the server has imported; any other is imported by the child."""
    arguments: Sequence[str] = ()
    command: Sequence[str] | None = None
    """Its command line (`sys.argv`)."""
    environment: Mapping[str, str] | None = None
    """Its whole environment; None: the server's."""
    network: str = ""
    """The file of the network namespace to enter first."""
    user: str = ""
    """The file of the user namespace to enter before that one."""
    new_network: bool = False
    """Enter a new network namespace, and without root a user namespace that owns it."""
    resolv_conf: str = ""
    """What stands at /etc/resolv.conf, for this process alone."""
    new_session: bool = False
    """Leave the terminal's session: a Ctrl-C is the owner's to act upon."""
    longest_s: int = 120
    """It is killed after so many seconds; 0: never."""


class Server:
    """One process that has imported these modules. It is started when it is first needed."""

    def __init__(self, *modules: str, environment: Mapping[str, str] | None = None) -> None:
        self._modules = modules
        self._environment = environment
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; what it has forked is killed."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()
            self._socket = self._process = None

    def fork(self, request: Request, *, stdin: Stream, stdout: Stream, stderr: Stream) -> Forked:
        """Start a child; the streams stay the caller's to close."""
        status, theirs = os.pipe()
        fds = [each if isinstance(each, int) else each.fileno() for each in (stdin, stdout, stderr)]
        data = json.dumps(dataclasses.asdict(request)).encode()
        try:
            with self._lock:
                answer, pidfds = self._asked(data, [*fds, theirs])
        except BaseException:
            os.close(status)
            raise
        finally:
            os.close(theirs)
        args = request.command or (request.module, *request.arguments)
        return Forked(args, int(answer), pidfd=pidfds[0], status=status)

    def _asked(self, data: bytes, fds: list[int]) -> tuple[bytes, list[int]]:
        """The answer to a request: a process id, and its pidfd.

        If the exchange is interrupted, the server is ended: its late answer would be taken for the
        answer to the next request.
        """
        asked = self._started()
        try:
            socket.send_fds(asked, [data], fds)
            answer, pidfds, _, _ = socket.recv_fds(asked, 16, 1)
        except BaseException:
            self._end()
            raise
        if not answer:
            self._end()
            raise RuntimeError("the forking process has ended")
        return answer, pidfds

    def _started(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "forked.serve", *self._modules],
                    cwd=_ROOT,
                    env=self._environment,
                    stdin=theirs,
                    start_new_session=True,
                )
        return self._socket
