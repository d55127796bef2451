"""Every thread of a running agent has CAP_NET_RAW and no other privilege."""

import ctypes
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from colotrace_agent.network.sockets import RECEIVE_BUFFER
from lab import access

NET_ADMIN, NET_RAW = 1 << 12, 1 << 13
PROGRAM = [sys.executable, "-c", "from colotrace_agent.main import main; main()"]
RUN = [
    *[*PROGRAM, "run", "--coordinator", "127.0.0.1:1", "--colo", "tst01"],
    *["--city", "Testville", "--insecure"],
]
_START_S = 30
_PIDFD_GETFD = 438

pytestmark = pytest.mark.skipif(
    not access.is_root() or shutil.which("setpriv") is None,
    reason="starts the agent as root, with and without capabilities: needs root and setpriv",
)


def until_up(process: subprocess.Popen[bytes]) -> None:
    """Read the log until the agent has started."""
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


# Ways to start it: as root with all capabilities; or with CAP_NET_RAW only, as ambient capability
# of another user, or as root without root's special treatment.
STARTS = {"root": None, "net_raw_alone": "-all,+net_raw", "the_unit": "-all,+net_raw,+net_admin"}
LEFT_BOUNDING = {"root": 0, "net_raw_alone": NET_RAW, "the_unit": NET_RAW | NET_ADMIN}


@pytest.fixture(params=STARTS)
def start(request: pytest.FixtureRequest) -> str:
    """How the agent is started."""
    return str(request.param)


@pytest.fixture
def agent(start: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running agent."""
    only, before = STARTS[start], []
    if only is not None:
        before = ["setpriv", "--bounding-set", only, "--inh-caps", only, "--ambient-caps", only]
        before += ["--securebits", "+noroot,+noroot_locked"]
    argv = [*before, *RUN]
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
    agent: subprocess.Popen[bytes], start: str
) -> None:
    """Threads of gRPC, numpy and the resolver, too; child processes cannot gain privileges."""
    tasks = list(Path(f"/proc/{agent.pid}/task").iterdir())
    assert len(tasks) > 1, "gRPC runs threads of its own"
    for task in tasks:
        status = status_of(task)
        # A thread from before the change of user has no capability left.
        has = NET_RAW if int(task.name) == agent.pid or start != "root" else status["CapEff"]
        assert has & ~NET_RAW == 0
        assert status == {
            "CapEff": has,
            "CapPrm": has,
            "CapInh": 0,
            "CapAmb": 0,
            # Clearing it needs CAP_SETPCAP; without that, no_new_privs suffices.
            "CapBnd": LEFT_BOUNDING[start],
            "NoNewPrivs": 1,
        }


def raw_sockets_of(pid: int) -> Iterator[socket.socket]:
    """Duplicates of the process's raw sockets (pidfd_getfd(2))."""
    process, libc = os.pidfd_open(pid), ctypes.CDLL(None)
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kind = str(entry.readlink())
        except FileNotFoundError:  # closed in the meantime, since the agent retries to connect
            continue
        if not kind.startswith("socket:"):
            continue
        with socket.socket(fileno=libc.syscall(_PIDFD_GETFD, process, int(entry.name), 0)) as sock:
            if sock.type == socket.SOCK_RAW and sock.family != socket.AF_NETLINK:
                yield sock
    os.close(process)


def test_receive_buffers_are_set_before_capabilities_are_dropped(
    agent: subprocess.Popen[bytes], start: str
) -> None:
    """Independent of net.core.rmem_max; with CAP_NET_RAW alone, limited by it."""
    sizes = [
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        for sock in raw_sockets_of(agent.pid)
        if sock.proto != socket.IPPROTO_RAW  # a socket that only sends
    ]
    allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    wanted = min(RECEIVE_BUFFER, allowed) if start == "net_raw_alone" else RECEIVE_BUFFER
    assert sizes == [2 * wanted] * 8


@pytest.mark.parametrize("command", [RUN, [*PROGRAM, "trace", "192.0.2.1"]], ids=["run", "trace"])
def test_without_net_raw_it_names_the_capability(command: list[str]) -> None:
    """At once, in one line, with the remedy."""
    dropped = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
    done = subprocess.run(
        [*dropped, *command], capture_output=True, text=True, timeout=_START_S, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "lacks the capability CAP_NET_RAW" in line
    assert "AmbientCapabilities=CAP_NET_RAW" in line
