"""The agent's host and a sender: two namespaces with a pair of devices between them.

The namespaces have no names. Each belongs to a process that ends when its input closes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lab import Process
from lab.processes import stop_all

from bench.driver import Driver, Spawn
from bench.figures import BenchError
from bench.responder import build

ADDRESS, SENDER = "192.0.2.2", "192.0.2.1"
NOBODY = "198.51.100.9"
"""A silent target behind a silent path: its packets are routed to the sender, which drops them."""
PORTS = {"outside": 8_080, "inside": 25_000}
"""Ports of the foreign connections: one outside and one inside the agent's range of source
ports."""

_HERE = Path(__file__).parent
_HOLDER = "echo ready; exec cat"
_DEVICE, _FAR_DEVICE = "host0", "sender0"
# With TCP time stamps, repeated frames would be discarded as old.
_QUIET = "sysctl -qw net.ipv4.tcp_timestamps=0 net.ipv4.conf.all.rp_filter=0"


@dataclass(frozen=True, slots=True)
class Host:
    """`spawn` starts programs on the host; `sender` sends to it (`inside_sender`)."""

    spawn: Spawn
    sender: Driver

    @staticmethod
    @contextmanager
    def up() -> Iterator[Host]:
        """Create both namespaces, a listener on the host and a sender."""
        pace = build.program("pace", "pace.c", directory=_HERE)
        with ExitStack() as stack:
            host, far = (stack.enter_context(_namespace()) for _ in range(2))
            link_address = _configure(host, far)
            started: list[Process] = []
            stack.callback(stop_all, started)
            spawn = partial(_spawn, host, started)
            argv = [sys.executable, "-I", "-S", _HERE / "inside_listener.py", ADDRESS]
            listener = spawn([*argv, *map(str, PORTS.values())], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)  # fmt: skip
            if not listener.stdout or listener.stdout.readline() != b"ready\n":
                raise BenchError(f"the listener ended with {listener.wait()}")
            words = [sys.executable, "-I", "-S", _HERE / "inside_sender.py"]
            sender = Driver(
                partial(_spawn, far, started), [*words, pace, _FAR_DEVICE, link_address, ADDRESS]
            )
            stack.enter_context(closing(sender))
            yield Host(spawn, sender)


@contextmanager
def _namespace() -> Iterator[int]:
    """Create a namespace; yields the pid of the process that holds it."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", _HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with holder:
        if not holder.stdout or holder.stdout.readline() != b"ready\n":
            raise BenchError(f"no namespace: unshare ended with {holder.wait()}")
        yield holder.pid


def _entered(pid: int, argv: Sequence[str | Path]) -> list[str]:
    return ["nsenter", f"--net=/proc/{pid}/ns/net", *map(str, argv)]


def _spawn(pid: int, started: list[Process], argv: Sequence[str | Path], **streams: Any) -> Process:
    process = Process(
        ["setpriv", "--pdeathsig", "KILL", *_entered(pid, argv)],
        start_new_session=True,  # only this process handles Ctrl-C
        **{"stdin": subprocess.DEVNULL, **streams},
    )
    started.append(process)
    return process


def _configure(host: int, far: int) -> str:
    """Configure devices and addresses; returns the link address of the host's device."""
    _script(
        host,
        f"{_QUIET}; ip link set lo up; "
        f"ip link add {_DEVICE} type veth peer name {_FAR_DEVICE} netns {far}; "
        f"ip addr add {ADDRESS}/24 dev {_DEVICE}; ip link set {_DEVICE} up",
    )
    _script(
        far,
        f"{_QUIET}; ip link set lo up; "
        f"ip addr add {SENDER}/24 dev {_FAR_DEVICE}; ip link set {_FAR_DEVICE} up",
    )
    _script(host, f"ip route add default via {SENDER}")
    told = _script(host, f"ip -o link show {_DEVICE}")
    return told.partition("link/ether ")[2].split()[0]


def _script(pid: int, script: str) -> str:
    done = subprocess.run(
        _entered(pid, ["sh", "-ec", script]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        raise BenchError(f"the namespaces cannot be configured: {done.stderr.strip()}")
    return done.stdout
