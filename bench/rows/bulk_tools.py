"""The tools that trace many targets in one run, and parsers of their output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.peers import ICMPLIB, LIBRARY, MAX_TTL, PYCARACAL, SCAMPER, SR, TRACEROUTE, Peer

AGENT = Path(sys.executable).parent / "colotrace-agent"
AT_WILL = "1000000"
"""A rate that is never the limit."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. `{targets}` is the file of targets, one on each line; `{out}` is the output."""

    label: str
    argv: tuple[str, ...]
    answered: Callable[[Path], int]
    """Number of answered probes, from the output."""
    peer: Peer | None = None
    most: int = 10_000
    """Greatest number of targets; more would take too long."""
    limit: str = ""
    """Its own limit, if it has one."""
    idle_s: float = 0.0
    """Fixed wait at its end."""
    once: bool = False
    """Whether it is run only once for many targets, because it is slow."""
    several: bool = False
    """Whether it is one process for each target, so that its peak memory means nothing."""

    def command(self, targets: Path, out: Path) -> list[str]:
        """The whole command line."""
        told = {"{targets}": str(targets), "{replies}": str(out.with_suffix(".replies"))}
        return [told.get(word, word) for word in self.argv]


def colotrace(*flags: str) -> tuple[str, ...]:
    """`colotrace-agent trace` for a file of targets, with rows as NDJSON."""
    return (
        str(AGENT), "trace", "--targets-file", "{targets}", "--json", "--no-names",
        "--allow-private", "--packets-per-ttl", "1", *flags,
    )  # fmt: skip


def _of_rows(out: Path) -> int:
    decode = msgspec.json.Decoder().decode
    rows = (decode(line)["colos"][0] for line in out.read_bytes().splitlines())
    return sum(hop["packets_sent"] - hop["packets_lost"] for row in rows for hop in row["hops"])


def _of_warts(_out: Path) -> int:
    return -1  # a binary format; the row with JSON has the number


def _of_scamper(out: Path) -> int:
    return out.read_bytes().count(b'"probe_ttl":')


def _of_traceroute(out: Path) -> int:
    return out.read_bytes().count(b" ms")


def _of_library(out: Path) -> int:
    return int(json.loads(out.read_bytes())["answered"])


def _scamper(form: str, answered: Callable[[Path], int], *, once: bool = False) -> Tool:
    trace = f"trace -P icmp-paris -q 1 -w 1 -m {MAX_TTL}"
    argv = ("scamper", "-p", "10000", "-O", form, "-c", trace, "-f", "{targets}")
    limit = "its cap of 10,000 a second"
    return Tool(f"scamper -O {form}", argv, answered, SCAMPER, limit=limit, once=once)


def _library(word: str, peer: Peer, *, most: int, limit: str = "", idle_s: float = 0.0) -> Tool:
    argv = (
        sys.executable, str(LIBRARY), word, "--targets-file", "{targets}", "--per-ttl", "1",
        "--max-ttl", str(MAX_TTL), *(["--out", "{replies}"] if peer is PYCARACAL else []),
    )  # fmt: skip
    return Tool(peer.label, argv, _of_library, peer, most=most, limit=limit, idle_s=idle_s)


COLOTRACE = Tool(
    "colotrace-agent trace",
    colotrace("--max-ttl", str(MAX_TTL), "--rate", AT_WILL),
    _of_rows,
    most=100_000,
)
ALL = (
    COLOTRACE,
    _scamper("warts", _of_warts),
    _scamper("json", _of_scamper, once=True),
    _library("pycaracal", PYCARACAL, most=10_000, idle_s=1.0),
    Tool(
        "traceroute -I (xargs)",
        ("xargs", "-a", "{targets}", "-n", "1", "traceroute", "-I", "-q", "1", "-N", "100", "-m",
         str(MAX_TTL), "-w", "1", "-n"),
        _of_traceroute,
        TRACEROUTE,
        once=True,
        several=True,
    ),
    _library("icmplib", ICMPLIB, most=100, limit="one probe at a time"),
    _library("sr", SR, most=1_000),
)  # fmt: skip
