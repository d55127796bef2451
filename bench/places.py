"""The traced paths, and the helpers for each.

All places have the same interface: `inside` is a helper at the start of the path, `outside` a
helper beside the coordinator, and `lab` is where `Fleet` starts the programs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from forked import Forked
from lab import FAMILIES, Lab, Process, asn, programs

from bench.driver import Driver, Spawn
from bench.responder import Network, Responder
from bench.responder.responder import TARGET

DISTANCE = 14
HOPS = DISTANCE + 1
_MS = 1_000_000
# Hop 1 at 2 ms, the target (hop 15) at 32 ms.
_PER_HOP_NS = 30 * _MS // DISTANCE
DELAYS = Network(distance=DISTANCE, delay_ns=2 * _MS - _PER_HOP_NS, per_hop_ns=_PER_HOP_NS)
# The target at 4.5 ms; silent hops answer no probe.
_NEAR_NS = 300_000
HOLES = Network(distance=DISTANCE, per_hop_ns=_NEAR_NS, silent=frozenset({4, 7, 8, 11}))
MUTE = Network(distance=DISTANCE, per_hop_ns=_NEAR_NS, silent_target=True)
AT_ONCE = Network(distance=DISTANCE)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A path of `hops` hops from `host` to `target`, whose longest RTT is `longest_ms`."""

    work: str
    host: str
    colo: str
    target: str
    named: Mapping[int, str]
    """For each family, a target whose path has names."""
    hops: int
    longest_ms: float
    lab: Any
    grpc_host: str
    spawn: Spawn
    """Starts programs at the start of the path."""
    inside: Driver
    outside: Driver
    responder: Responder | None = None
    installed: bool = True
    """Whether the installed programs are started, instead of forks of a process that has imported
    them."""

    def agents(self, *flags: str) -> Driver:
        """Start a helper that simulates many agents."""
        if self.installed or self.responder is None:
            return Driver.fleet(self.spawn, *flags)
        return Driver.fleet(None, *flags, **self.responder.namespaces)


@contextmanager
def kernel_routers() -> Iterator[Place]:
    """The lab: 14 kernel routers and the target, with RTTs of microseconds."""
    host = "sin01"
    with Lab() as lab:
        target = lab.address("far")
        spawn = partial(lab.spawn, host)
        yield Place(
            work="15 hops of kernel routers, RTT ≈ 0",
            host=host,
            colo=host,
            target=target,
            named={family: lab.address("web", family=family) for family in FAMILIES},
            hops=len(lab.path(host, target)),
            longest_ms=0.0,
            lab=lab,
            grpc_host=lab.management_address,
            spawn=spawn,
            inside=Driver.plain(spawn),
            outside=Driver.plain(partial(lab.spawn, None)),
        )


@contextmanager
def user_space(network: Network, work: str, *, installed: bool = True) -> Iterator[Place]:
    """The responder's network. Programs, client and peers all run in its namespace.

    The responder sleeps between packets, on any core, and has real-time priority.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(_directory()))
        responder = stack.enter_context(Responder(network, urgent=True))
        lab = _Inside(responder, directory)
        lab.start_names(network.distance)
        inside = Driver.plain(responder.spawn)
        yield Place(
            work=work,
            host="sin01",
            colo="sin01",
            target=responder.target,
            named=TARGET,
            hops=network.distance + 1,
            longest_ms=(network.delay_ns + network.per_hop_ns * (network.distance + 1)) / _MS,
            lab=lab,
            grpc_host=lab.management_address,
            spawn=responder.spawn,
            inside=inside,
            outside=inside,
            responder=responder,
            installed=installed,
        )


@contextmanager
def alone_on_its_core(network: Network, *, records: int = 0) -> Iterator[Responder]:
    """A responder with a core of its own; programs started in the meantime use the other cores.

    `records` is the number of probes to record. On a machine with one core it shares the core.
    """
    cores = os.sched_getaffinity(0)
    own = max(cores) if len(cores) > 1 else None
    with Responder(network, records=records, core=own, urgent=own is not None) as responder:
        try:
            os.sched_setaffinity(0, (cores - {own}) or cores)
            yield responder
        finally:
            os.sched_setaffinity(0, cores)


@contextmanager
def _directory() -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="colotrace-bench-")
    try:
        yield directory
    finally:
        # A program that ends late may still write there.
        shutil.rmtree(directory, ignore_errors=True)


class _Inside:
    """The interface of a lab that `Fleet` needs, with the responder's namespace as the only
    host."""

    management_address = "127.0.0.1"
    resolver = "127.0.0.1:53"

    def __init__(self, responder: Responder, directory: Path) -> None:
        self.asn_db = directory / "asn.mmdb"
        asn.write(self.asn_db)
        self._responder = responder

    def spawn(self, _host: str | None, argv: Sequence[str | Path], **streams: Any) -> Process:
        """Start a program in the namespace; it ends with the responder."""
        return self._responder.spawn(argv, **streams)

    def fork(self, _host: str | None, argv: Sequence[str | Path], **streams: Any) -> Forked:
        """Like `spawn`, but forks a process that has imported the agent or the coordinator."""
        namespaces = self._responder.namespaces
        return programs.start(argv, **namespaces, env=dict(os.environ), **streams)

    def start_names(self, distance: int) -> None:
        """Start a name server with the routers' names, so that answers have names."""
        records = [
            f"host-record=hop{ttl}.bench.example,198.18.{ttl}.1" for ttl in range(1, distance + 1)
        ]
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
