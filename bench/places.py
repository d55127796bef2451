"""Where the traced path is, and what runs there.

Both places look the same to a row: `inside` is a helper where the path begins, `outside` one beside
the coordinator, `lab` what `Fleet` starts the programs on.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from lab import Lab, Process, asn
from lab.processes import stop_all
from scenario.addresses import assign
from scenario.load import load
from scenario.tun import TunWorld, tun_missing

from bench.driver import Driver, Spawn
from bench.figures import BenchError

_CASE = Path(__file__).with_name("delays.toml")


class Place(Protocol):
    """A path of `hops` hops from `host` to `target`, the longest round trip `longest_ms`."""

    work: str
    host: str
    colo: str
    target: str
    hops: int
    longest_ms: float
    lab: Any
    grpc_host: str
    inside: Driver
    outside: Driver

    def spawn(self) -> Spawn:
        """Starts programs where the path begins."""


class KernelRouters:
    """The lab: 14 kernels route, the 15th answers, and all of it takes microseconds."""

    work = "15 hops of kernel routers, RTT ≈ 0"
    host = colo = "sin01"
    longest_ms = 0.0

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.grpc_host = lab.management_address
        self.target = lab.address("far")
        self.hops = len(lab.path(self.host, self.target))
        self.inside = Driver.plain(self.spawn())
        self.outside = Driver.plain(partial(lab.spawn, None))

    def spawn(self) -> Spawn:
        """Starts programs where the path begins."""
        return partial(self.lab.spawn, self.host)


class Delays:
    """A user-space world behind a TUN device, with round trips as `delays.toml` says.

    Everything runs inside its namespace: the programs, the client and the peers.
    """

    work = "15 hops at 2 to 32 ms (user-space world)"
    host = colo = "sin01"
    grpc_host = "127.0.0.1"

    def __init__(self) -> None:
        reason = tun_missing()
        if reason:
            raise BenchError(f"no world with delays here: {reason}")
        self._case = load(_CASE)
        self.target = assign(self._case, family=4).target
        self.hops = self._case.target_ttl
        self.longest_ms = self._case.target.rtt_ms
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="colotrace-bench-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            world = stack.enter_context(TunWorld(self._case, 4, path=_CASE))
            self.lab = _Inside(world, directory)
            stack.callback(self.lab.stop)
            self.lab.start_names(_records(assign(self._case, family=4).routers))
            self.inside = self.outside = Driver.plain(self.spawn())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def spawn(self) -> Spawn:
        """Starts programs where the path begins."""
        return partial(self.lab.spawn, None)


def _records(routers: dict[int, tuple[str, ...]]) -> list[str]:
    return [
        f"host-record=hop{ttl}.bench.example,{address}"
        for ttl, addresses in routers.items()
        for address in addresses
    ]


class _Inside:
    """What `Fleet` wants of a lab, in a world's namespace: there is but one host."""

    management_address = "127.0.0.1"
    resolver = "127.0.0.1:53"

    def __init__(self, world: TunWorld, directory: Path) -> None:
        self.asn_db = directory / "asn.mmdb"
        asn.write(self.asn_db)
        self._world = world
        self._processes: list[Process] = []

    def spawn(self, _host: str | None, argv: Sequence[str | Path], **streams: Any) -> Process:
        """Start a program in the namespace; it ends with this process, whatever ends that."""
        inside = self._world.command([str(each) for each in argv])
        process = Process(
            ["setpriv", "--pdeathsig", "KILL", *inside],
            start_new_session=True,  # a Ctrl-C at the terminal is ours to act upon
            **{"stdin": subprocess.DEVNULL, **streams},
        )
        self._processes.append(process)
        return process

    def start_names(self, records: list[str]) -> None:
        """A name server with these records, so that the answers bear names as elsewhere."""
        settings = ["no-resolv", "no-hosts", "listen-address=127.0.0.1", "address=/#/"]
        dns = self.spawn(
            None,
            ["dnsmasq", "--no-daemon", "--conf-file=-"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if dns.stdin is not None:
            with dns.stdin as stdin:
                stdin.write("\n".join([*settings, "local-ttl=300", *records, ""]).encode())

    def stop(self) -> None:
        """End every program."""
        stop_all(self._processes)
        self._processes.clear()
