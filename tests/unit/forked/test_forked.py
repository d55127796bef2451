"""Forked programs: their end is told as it was, and none outlives its server."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import Forked, Request, Server

MODULE = "unit.forked.waits"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(MODULE) as running:
        yield running


def start(server: Server, seconds: float) -> Forked:
    with Path("/dev/null").open("r+b") as null:
        request = Request(module=MODULE, command=["waits", str(seconds)])
        return server.fork(request, stdin=null, stdout=null, stderr=null)


def gone(pid: int) -> bool:
    """Within a few seconds: it has ended, and somebody has waited for it."""
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not Path(f"/proc/{pid}").exists()


def test_exit_code_and_signal(server: Server) -> None:
    ended, killed = start(server, 0), start(server, 60)
    assert ended.wait(5) == 3
    assert killed.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(0)
    killed.terminate()
    assert killed.wait(5) == -signal.SIGTERM
    killed.kill()  # of one that has ended: nothing
    assert killed.poll() == -signal.SIGTERM


def test_children_end_with_the_server(server: Server) -> None:
    child = start(server, 60)
    server.close()
    assert gone(child.pid)
    assert child.wait(5) == -signal.SIGKILL


def test_children_end_with_a_server_that_is_killed(server: Server) -> None:
    """And the next request starts another one."""
    child = start(server, 60)
    parent = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
    subprocess.run(["kill", "-9", str(parent)], check=True)
    assert child.wait(5) == -signal.SIGKILL
    assert gone(child.pid)
    with pytest.raises((RuntimeError, OSError)):
        start(server, 0)
    again = start(server, 0)
    assert again.wait(5) == 3
