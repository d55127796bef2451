"""The other tracers: how they are asked for the same work, and what Debian calls them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from bench.figures import BEYOND, BenchError, Run

MAX_TTL = 15
PER_TTL = 3


@dataclass(frozen=True, slots=True)
class Peer:
    """One tracer with one set of options. `{target}` stands for the target."""

    who: str
    package: str
    argv: tuple[str, ...]
    per_ttl: int = PER_TTL
    note: str = ""

    @property
    def program(self) -> str:
        """What is run."""
        return self.argv[0]

    def command(self, target: str) -> list[str]:
        """The whole command line for a target."""
        return [target if word == "{target}" else word for word in self.argv]

    def run(self, done: dict[str, float | str], *, hops: int, longest_ms: float) -> Run:
        """What a finished run says of itself; complete where every hop has all its answers."""
        lines = re.findall(r"^ *\d+ .*$", str(done["stdout"]), re.MULTILINE)
        full = [line for line in lines if line.count(" ms") == self.per_ttl]
        wall_ms = float(done["wall_ms"])
        values = {"wall": wall_ms, BEYOND: wall_ms - longest_ms, "CPU": float(done["cpu_ms"])}
        return Run(values, complete=len(full) == len(lines) == hops)


TRACEROUTE = Peer(
    "traceroute -I -N 100",
    "traceroute",
    ("traceroute", "-I", "-q", "3", "-N", "100", "-w", "1", "-m", "15", "-n", "{target}"),
)
# Without -p it sends 20 probes a second; without -Q it stops at a hop's first answer.
SCAMPER = Peer(
    "scamper icmp-paris -Q",
    "scamper",
    ("scamper", "-p", "10000", "-c", "trace -P icmp-paris -q 3 -Q -w 1 -m 15", "-i", "{target}"),
    note="one hop after the other",
)
# The fastest it can be made: hops in parallel, for which it takes one probe a hop only.
SCAMPER_PARALLEL = Peer(
    "scamper icmp-paris -N 15",
    "scamper",
    ("scamper", "-p", "10000", "-c", "trace -P icmp-paris -q 3 -w 1 -m 15 -N 15 -g 16", "-i",
     "{target}"),
    per_ttl=1,
    note="a third of the probes",
)  # fmt: skip


def require(peers: Iterable[Peer]) -> None:
    """Raise BenchError where one is not installed, with what installs it."""
    missing = {peer.program: peer.package for peer in peers if not shutil.which(peer.program)}
    if missing:
        raise BenchError(
            f"not installed: {', '.join(sorted(missing))}; they are compared with: "
            f"sudo apt-get install -y {' '.join(sorted(set(missing.values())))}"
        )


def version(peer: Peer) -> str:
    """The version of its Debian package; "" where dpkg does not know it."""
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", peer.package],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()
