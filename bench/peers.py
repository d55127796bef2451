"""The other tracers: their command lines for the same work, and their packages.

A peer is a program that is started for one trace, as its users do. For a library only the call is
timed, in a process that has traced before.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from bench.figures import BEYOND, BenchError, Run
from bench.places import Place

MAX_TTL = 15
PER_TTL = 3
LIBRARY = Path(__file__).with_name("inside_library.py")

# A hop's line, and that all its probes were answered.
_TABLE_LINE = re.compile(r"^ *\d+ .*$", re.MULTILINE)
_MTR_LINE = re.compile(r"^ *\d+\.\|.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Peer:
    """One tracer with one set of options. `{target}` and `{max_ttl}` are placeholders."""

    label: str
    """Its name in the results."""
    package: str
    """Its name in Debian, or on the Python package index."""
    argv: tuple[str, ...]
    per_ttl: int = PER_TTL
    note: str = ""
    library: bool = False
    slow: bool = False
    """Whether a trace takes so long that it is run only a few times."""

    def command(self, target: str, max_ttl: int = MAX_TTL) -> list[str]:
        """The whole command line for a target."""
        told = {"{target}": target, "{max_ttl}": str(max_ttl), "{gap}": str(max_ttl + 1)}
        return [_filled(word, told) for word in self.argv]

    @property
    def shown(self) -> str:
        """The command line, for the report."""
        words = {sys.executable: "python", str(LIBRARY): LIBRARY.name}
        return " ".join(words.get(word, word) for word in self.command("TARGET"))

    @property
    def missing(self) -> str:
        """Why it cannot run here, with the remedy; "" if it can."""
        if self.library:
            if version(self):
                return ""
            return f"{self.package} is not installed: .venv/bin/pip install --group bench"
        if shutil.which(self.argv[0]):
            return ""
        return f"not installed: sudo apt-get install -y {self.package}"

    def run(self, place: Place, *, max_ttl: int = MAX_TTL, answers: int | None = None) -> Run:
        """One trace of the place's path; it is complete with `answers` hops, by default all.

        Raises:
            BenchError: it cannot run, or failed.
        """
        if self.missing:
            raise BenchError(self.missing)
        done = place.inside.run(self.command(place.target, max_ttl))
        wanted = place.hops * self.per_ttl if answers is None else answers * self.per_ttl
        timed = json.loads(done["stdout"]) if self.library else done
        wall_ms = float(timed["wall_ms"])
        values = {
            "wall": wall_ms, BEYOND: wall_ms - place.longest_ms, "CPU": float(timed["cpu_ms"])
        }  # fmt: skip
        return Run(values, complete=self.answers(done, timed) == wanted)

    def answers(self, done: dict[str, Any], timed: dict[str, Any]) -> int:
        """Number of answered probes, from the output."""
        if self.library:
            return int(timed["answered"])
        if self.package == "mtr-tiny":
            lines = _MTR_LINE.findall(done["stdout"])
            return sum(self.per_ttl for line in lines if " 0.0% " in line)
        return sum(line.count(" ms") for line in _TABLE_LINE.findall(done["stdout"]))


def _filled(word: str, told: dict[str, str]) -> str:
    for name, value in told.items():
        word = word.replace(name, value)
    return word


def _library(word: str, package: str, note: str, *, slow: bool = True) -> Peer:
    argv = (sys.executable, str(LIBRARY), word, "--max-ttl", "{max_ttl}", "--per-ttl", "3",
            "--target", "{target}")  # fmt: skip
    return Peer(
        f"{package} {word}" if word != package else package,
        package, argv, note=f"the call alone; {note}", library=True, slow=slow,
    )  # fmt: skip


TRACEROUTE = Peer(
    "traceroute -I -N 100",
    "traceroute",
    ("traceroute", "-I", "-q", "3", "-N", "100", "-w", "1", "-m", "{max_ttl}", "-n", "{target}"),
)
# Without -p it sends 20 probes a second; without -Q it stops at a hop's first answer.
SCAMPER = Peer(
    "scamper icmp-paris -Q",
    "scamper",
    ("scamper", "-p", "10000", "-c", "trace -P icmp-paris -q 3 -Q -w 1 -m {max_ttl}", "-i",
     "{target}"),
    note="one hop after the other",
    slow=True,
)  # fmt: skip
# Its fastest mode: hops in parallel, which allows one probe for each hop only.
SCAMPER_PARALLEL = Peer(
    "scamper icmp-paris -N 15",
    "scamper",
    ("scamper", "-p", "10000", "-c", "trace -P icmp-paris -q 3 -w 1 -m {max_ttl} -N 15 -g {gap}",
     "-i", "{target}"),
    per_ttl=1,
    note="a third of the probes",
)  # fmt: skip
_MTR = ("mtr", "--report", "-n", "-i", "0.1", "-G", "1", "-m", "{max_ttl}")
_MTR_NOTE = "waits 1 s after its last round"
MTR = Peer("mtr -c 3 -i 0.1", "mtr-tiny", (*_MTR, "-c", "3", "{target}"), note=_MTR_NOTE, slow=True)
MTR_ONCE = Peer(
    "mtr -c 1 -i 0.1",
    "mtr-tiny",
    (*_MTR, "-c", "1", "{target}"),
    per_ttl=1,
    note=f"a third of the probes; {_MTR_NOTE}",
    slow=True,
)
ICMPLIB = _library("icmplib", "icmplib", "one probe after the other")
SR = _library("sr", "scapy", "one list of all probes")
PYCARACAL = _library("pycaracal", "pycaracal", "listens for 1 s after its last probe, always")

ONE_TRACE = (TRACEROUTE, SCAMPER, SCAMPER_PARALLEL, MTR, MTR_ONCE, ICMPLIB, SR, PYCARACAL)


def require(peers: Iterable[Peer]) -> None:
    """Raise BenchError if a program is not installed, with the command that installs it."""
    missing = {peer.argv[0]: peer.package for peer in peers if peer.missing and not peer.library}
    if missing:
        raise BenchError(
            f"not installed: {', '.join(sorted(missing))}; they are compared with: "
            f"sudo apt-get install -y {' '.join(sorted(set(missing.values())))}"
        )


def version(peer: Peer) -> str:
    """The version of its package; "" if unknown."""
    if peer.library:
        try:
            return installed(peer.package)
        except PackageNotFoundError:
            return ""
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
