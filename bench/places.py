"""Where the traced path is, and what runs there.

All places look the same to a row: `inside` is a helper where the path begins, `outside` one beside
the coordinator, `lab` what `Fleet` starts the programs on.
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
# Hop 1 at 2 ms, the target, the 15th, at 32.
_PER_HOP_NS = 30 * _MS // DISTANCE
DELAYS = Network(distance=DISTANCE, delay_ns=2 * _MS - _PER_HOP_NS, per_hop_ns=_PER_HOP_NS)
# The target at 4.5 ms; what is silent is so to every probe.
_NEAR_NS = 300_000
HOLES = Network(distance=DISTANCE, per_hop_ns=_NEAR_NS, silent=frozenset({4, 7, 8, 11}))
MUTE = Network(distance=DISTANCE, per_hop_ns=_NEAR_NS, silent_target=True)
AT_ONCE = Network(distance=DISTANCE)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A path of `hops` hops from `host` to `target`, the longest round trip `longest_ms`."""

    work: str
    host: str
    colo: str
    target: str
    named: Mapping[int, str]
    """A target for each family, whose path has names."""
    hops: int
    longest_ms: float
    lab: Any
    grpc_host: str
    spawn: Spawn
    """Starts programs where the path begins."""
    inside: Driver
    outside: Driver
    responder: Responder | None = None
    installed: bool = True
    """Whether the programs are started as installed, not forked from a process that has imported
    them."""


@contextmanager
def kernel_routers() -> Iterator[Place]:
    """The lab: 14 kernels route, the 15th answers, and all of it takes microseconds."""
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
    """The responder's network. Everything runs in its namespace: programs, client and peers.

    The responder sleeps between packets, on any core, and is woken before everybody else.
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
    """A responder that has one core to itself; whatever is started meanwhile has the others.

    `records` is how many probes are written down. On a single core it shares that.
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
        # A program that is killed late may still write there.
        shutil.rmtree(directory, ignore_errors=True)


class _Inside:
    """What `Fleet` wants of a lab, in the responder's namespace: there is but one host."""

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
        """Start an agent or a coordinator as `spawn` does, without its imports."""
        namespaces = self._responder.namespaces
        return programs.start(argv, **namespaces, env=dict(os.environ), **streams)

    def start_names(self, distance: int) -> None:
        """A name server that knows the routers, so that answers bear names as elsewhere."""
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
