"""The responder's process, its namespace, and other programs in that namespace.

The namespace has no name, so it ends with the responder. The responder ends when its input closes,
also if its parent crashes. So nothing needs to be cleaned up.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt
from lab import Process
from lab.processes import stop_all

from bench.figures import BenchError
from bench.responder import build
from bench.responder.record import Ledger, Tally

DEVICE = "world0"
PROBER = {4: "192.0.2.2", 6: "2001:db8:1:1::2"}
TARGET = {4: "203.0.113.9", 6: "2001:db8:ffff::9"}
"""Example targets; the responder answers for any address."""

# The kernel pauses a real-time process for 50 ms of each second; packets wait in this queue.
_DEVICE_QUEUE = 40_000
_START_S = 20


@dataclass(frozen=True, slots=True)
class Network:
    """The simulated network: hop k answers after `delay_ns` + k times `per_hop_ns`."""

    distance: int = 14
    """Routers before the target, at most 254."""
    delay_ns: int = 0
    per_hop_ns: int = 0
    silent: frozenset[int] = frozenset()
    """TTLs of silent routers."""
    silent_target: bool = False
    tcp_open: bool = False


class Responder:
    """Answers probes while entered.

    It polls on its own `core`; with None it sleeps between packets, on any core. `urgent` requests
    real-time scheduling, which needs root.
    """

    def __init__(
        self,
        network: Network,
        *,
        records: int = 0,
        core: int | None = None,
        urgent: bool = False,
    ) -> None:
        if not 0 <= network.distance < 255:
            raise ValueError(f"{network.distance} routers: there can be 0 to 254")
        self.network = network
        self._ledger = Ledger(records)
        self._options = ["--core", str(core)] if core is not None else ["--wait"]
        self._options += ["--urgent"] * urgent
        self._process: subprocess.Popen[str] | None = None
        self._others: list[Process] = []
        self._stack = ExitStack()

    @property
    def target(self) -> str:
        """A target's IPv4 address."""
        return TARGET[4]

    @property
    def count(self) -> int:
        """Probes read so far."""
        return self._ledger.count

    def records(self, *, since: int = 0) -> npt.NDArray[Any]:
        """The records of probes (`record.RECORD`) from index `since` on."""
        return self._ledger.records(since=since)

    def tally(self) -> Tally:
        """Its counters."""
        return self._ledger.tally()

    def dropped(self) -> int:
        """Packets dropped by the device's queue because the responder was too slow."""
        path = f"/sys/class/net/{DEVICE}/statistics/tx_dropped"
        # /sys shows the namespace in which it was mounted.
        script = f"mount -t sysfs none /sys && cat {path}"
        done = self.run(["unshare", "--mount", "sh", "-c", script])
        if done.returncode:
            raise BenchError(f"the device's counters: {done.stderr.strip()}")
        return int(done.stdout)

    @property
    def namespaces(self) -> dict[str, str]:
        """The files of its namespaces: `network`, and without root `user`."""
        folder = f"/proc/{self._running.pid}/ns"
        return {"network": f"{folder}/net"} | ({"user": f"{folder}/user"} if os.geteuid() else {})

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs `argv` in the namespace."""
        enter = ["nsenter", f"--net={self.namespaces['network']}"]
        if "user" in self.namespaces:
            enter += [f"--user={self.namespaces['user']}", "--preserve-credentials"]
        return [*enter, *map(str, argv)]

    def run(
        self, argv: Sequence[str | Path], *, stdin: str = "", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the namespace, with captured output."""
        return subprocess.run(
            self.command(argv),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def spawn(self, argv: Sequence[str | Path], **streams: Any) -> Process:
        """Start a program in the namespace; it ends when this process ends, in any way."""
        process = Process(
            ["setpriv", "--pdeathsig", "KILL", *self.command(argv)],
            start_new_session=True,  # only this process handles Ctrl-C
            **{"stdin": subprocess.DEVNULL, **streams},
        )
        self._others.append(process)
        return process

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._ledger.close)
            argv = [build.program("responder", "main.c", "answer.c"), *self._arguments()]
            self._process = subprocess.Popen(
                [*_new_namespace(), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=[self._ledger.descriptor],
                start_new_session=True,
            )
            stack.callback(self._end)
            if not self._process.stdout or self._process.stdout.readline().strip() != "ready":
                _, words = self._process.communicate(timeout=_START_S)
                raise BenchError(words.strip() or f"it ended with {self._process.returncode}")
            self._configure()
            stack.callback(stop_all, self._others)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise BenchError("the responder is not running")
        return self._process

    def _end(self) -> None:
        """Close its input and wait for its end; raise if it had already failed."""
        process = self._running
        early = process.poll()
        try:
            _, words = process.communicate(timeout=_START_S)
        finally:
            process.kill()
            process.wait()
        if early is not None and early != 0:
            raise BenchError(f"the responder ended with {early}: {words.strip()}")

    def _arguments(self) -> list[str]:
        network, ledger = self.network, self._ledger
        return [
            *("--device", DEVICE),
            *("--distance", str(network.distance)),
            *("--delay-ns", str(network.delay_ns)),
            *("--per-hop-ns", str(network.per_hop_ns)),
            *("--ledger-fd", str(ledger.descriptor)),
            *("--records", str(ledger.capacity)),
            *(["--silent", ",".join(map(str, sorted(network.silent)))] if network.silent else []),
            *(["--silent-target"] if network.silent_target else []),
            *(["--tcp-open"] if network.tcp_open else []),
            *self._options,
        ]

    def _configure(self) -> None:
        """Configure addresses, and routes into the device, for both families."""
        done = self.run(["sh", "-e"], stdin=_SCRIPT)
        if done.returncode:
            raise BenchError(f"the device cannot be configured: {done.stderr.strip()}")


# Replies come from all addresses through one device (no reverse path filter). No waiting for
# duplicate address detection, and no router solicitations. The kernel may not support IPv6.
_SCRIPT = f"""
cd /proc/sys/net
echo 0 > ipv4/conf/all/rp_filter
echo 0 > ipv4/conf/{DEVICE}/rp_filter
if [ -d ipv6/conf/{DEVICE} ]; then
    echo 0 > ipv6/conf/all/disable_ipv6
    echo 0 > ipv6/conf/default/disable_ipv6
    echo 0 > ipv6/conf/{DEVICE}/disable_ipv6
    echo 0 > ipv6/conf/{DEVICE}/accept_dad
    echo 1 > ipv6/conf/{DEVICE}/addr_gen_mode
    echo 0 > ipv6/conf/{DEVICE}/router_solicitations
fi
ip -batch - <<-'END'
link set lo up
link set {DEVICE} txqueuelen {_DEVICE_QUEUE}
addr add {PROBER[4]}/32 dev {DEVICE}
link set {DEVICE} up
route add default dev {DEVICE} src {PROBER[4]}
END
if [ -d ipv6/conf/{DEVICE} ]; then
ip -6 -batch - <<-'END'
addr add {PROBER[6]}/128 dev {DEVICE} nodad
route add default dev {DEVICE} src {PROBER[6]}
END
fi
"""


def _new_namespace() -> list[str]:
    """The prefix of a command that runs it in new namespaces, without forking."""
    if os.geteuid() == 0:
        return ["unshare", "--net"]
    return ["unshare", "--user", "--map-root-user", "--net"]
