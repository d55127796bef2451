"""What the running agent may do: send raw packets, and nothing else, in every thread."""

import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NET_RAW = 1 << 13
PROGRAM = [sys.executable, "-c", "from colotrace_agent.main import main; main()"]
RUN = [
    *[*PROGRAM, "run", "--coordinator", "127.0.0.1:1", "--colo", "tst01"],
    *["--city", "Testville", "--insecure"],
]
_START_S = 30

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="starts the agent as root, with and without capabilities: needs root and setpriv",
)


def until_up(process: subprocess.Popen[bytes]) -> None:
    """Read the log until the agent says that it is up."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    said, deadline = b"", time.monotonic() + _START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while b"agent up" not in said:
            ready = selector.select(deadline - time.monotonic())
            chunk = os.read(process.stderr.fileno(), 65_536) if ready else b""
            assert chunk, f"the agent is not up: {said.decode()}"
            said += chunk


@pytest.fixture(params=["root", "net_raw_alone"])
def agent(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A running agent: started as root, or with the one capability as a systemd unit gives it."""
    only = ["--bounding-set", "-all,+net_raw", "--inh-caps", "-all,+net_raw"]
    before = ["setpriv", *only, "--ambient-caps", "-all,+net_raw"]
    argv = RUN if request.param == "root" else [*before, *RUN]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            until_up(process)
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=_START_S)
    assert process.returncode == 0


def status_of(task: Path) -> dict[str, int]:
    """The capability sets and no_new_privs of a thread."""
    lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
    sets = {name: int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
    return sets | {"CapBnd": int(lines["CapBnd"], 16), "NoNewPrivs": int(lines["NoNewPrivs"])}


def test_every_thread_can_send_raw_packets_and_nothing_else(
    agent: subprocess.Popen[bytes], request: pytest.FixtureRequest
) -> None:
    """gRPC's, numpy's and the resolver's threads too; and no program started from here has more."""
    from_root = "net_raw_alone" not in request.node.name
    tasks = list(Path(f"/proc/{agent.pid}/task").iterdir())
    assert len(tasks) > 1, "gRPC runs threads of its own"
    for task in tasks:
        assert status_of(task) == {
            "CapEff": NET_RAW,
            "CapPrm": NET_RAW,
            "CapInh": 0,
            "CapAmb": 0,
            # Emptying it takes CAP_SETPCAP; no_new_privs closes the same door.
            "CapBnd": 0 if from_root else NET_RAW,
            "NoNewPrivs": 1,
        }


@pytest.mark.parametrize("command", [RUN, [*PROGRAM, "trace", "192.0.2.1"]], ids=["run", "trace"])
def test_without_net_raw_it_says_what_is_missing(command: list[str]) -> None:
    """Before anything else, in one line, with how to give it."""
    dropped = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
    done = subprocess.run(
        [*dropped, *command], capture_output=True, text=True, timeout=_START_S, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "lacks the capability CAP_NET_RAW" in line
    assert "AmbientCapabilities=CAP_NET_RAW" in line
