"""Forked programs: their end is told as it was, and none outlives its server."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import wait_until
from forked import Forked, Request, Server
from lab.owner import started_at

MODULE = "unit.forked.waits"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(MODULE) as running:
        yield running


def start(server: Server, seconds: float) -> Forked:
    with Path("/dev/null").open("r+b") as null:
        request = Request(module=MODULE, command=["waits", str(seconds)])
        return server.fork(request, stdin=null, stdout=null, stderr=null)


def ended(pid: int) -> bool:
    """Within a few seconds. The process that adopts orphans may leave a zombie of it."""
    wait_until(lambda: started_at(pid) is None)
    return True


def test_exit_code_and_signal(server: Server) -> None:
    exited, killed = start(server, 0), start(server, 60)
    assert exited.wait(5) == 3
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
    assert ended(child.pid)
    assert child.wait(5) == -signal.SIGKILL


def test_children_end_with_a_server_that_is_killed(server: Server) -> None:
    """And the next request starts another one."""
    child = start(server, 60)
    parent = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
    subprocess.run(["kill", "-9", str(parent)], check=True)
    assert child.wait(5) == -signal.SIGKILL
    assert ended(child.pid)
    with pytest.raises((RuntimeError, OSError)):
        start(server, 0)
    again = start(server, 0)
    assert again.wait(5) == 3
