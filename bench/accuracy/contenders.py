"""The tools whose RTTs are compared, with their command lines.

Each prints an RTT for each probe. Its resolution is in the tool's note and is part of the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from bench.accuracy import readers
from bench.accuracy.errors import Errors
from bench.accuracy.join import Keys, Reported, by_sequence, by_ttl, join
from bench.figures import BenchError
from bench.responder import Responder

HOPS = 16
"""Number of probes of a trace that is sent at once, and the target's TTL."""


class Contender(Protocol):
    """A tool whose RTTs are compared."""

    label: str
    command: str
    note: str
    package: str

    def collect(self, responder: Responder, errors: Errors) -> None:
        """Add about a hundred samples."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that is run several times."""

    label: str
    package: str
    argv: tuple[str, ...]
    note: str
    read: Callable[[str], Iterator[Reported]]
    keys: Keys
    times: int = 1
    probes: int = 0
    """Number of probes of a run."""

    @property
    def command(self) -> str:
        """The command line, for the report."""
        return " ".join(f"'{word}'" if " " in word else word for word in self.argv)

    def collect(self, responder: Responder, errors: Errors) -> None:
        """Add about a hundred samples."""
        argv: list[str | Path] = [word.replace("{target}", responder.target) for word in self.argv]
        for _ in range(self.times):
            since = responder.count
            done = responder.run(argv)
            if done.returncode:
                raise BenchError(f"{self.label}: {done.stderr.strip() or done.stdout[-500:]}")
            reported, records = join(
                self.read(done.stdout), responder.records(since=since), self.keys
            )
            errors.add(reported, records)
            errors.lost += max(self.probes - len(reported), 0)


_PING_TOOL = partial(
    Tool, package="iputils-ping", note="prints 1 µs below 1 ms", read=readers.ping, keys=by_sequence
)
_TRACEROUTE_TOOL = partial(
    Tool, package="traceroute", note="prints 1 µs", read=readers.traceroute, keys=by_ttl
)
_SCAMPER_TOOL = partial(
    Tool,
    package="scamper",
    note="prints 1 µs; a TUN device has no datalink to stamp at (-O dl)",
    read=readers.scamper,
    keys=by_ttl,
)

ONE_AT_A_TIME: tuple[Tool, ...] = (
    _PING_TOOL(
        "ping", argv=("ping", "-n", "-c", "100", "-i", "0.005", "{target}"), probes=100
    ),
    _TRACEROUTE_TOOL(
        "traceroute -I",
        argv=("traceroute", "-n", "-I", "-q", "3", "-N", "1", "-m", str(HOPS), "{target}"),
        times=2,
        probes=3 * HOPS,
    ),
    _TRACEROUTE_TOOL(
        "traceroute (udp)",
        argv=("traceroute", "-n", "-q", "3", "-N", "1", "-m", str(HOPS), "{target}"),
        times=2,
        probes=3 * HOPS,
    ),
    Tool(
        "mtr",
        package="mtr-tiny",
        argv=("mtr", "--raw", "-n", "-c", "7", "-i", "0.1", "-G", "0.1", "-m", str(HOPS),
              "{target}"),
        note="1 µs with --raw; its tables show 0.1 ms",
        read=readers.mtr,
        keys=by_sequence,
        probes=7 * HOPS,
    ),
    _SCAMPER_TOOL(
        "scamper",
        argv=("scamper", "-O", "json", "-p", "10000", "-c",
              f"trace -P icmp-paris -q 3 -Q -w 1 -m {HOPS}", "-i", "{target}"),
        times=2,
        probes=3 * HOPS,
    ),
)  # fmt: skip

AT_ONCE: tuple[Tool, ...] = (
    _PING_TOOL(
        f"ping -l {HOPS}",
        argv=("ping", "-n", "-l", str(HOPS), "-c", str(HOPS), "{target}"),
        times=7,
        probes=HOPS,
    ),
    _TRACEROUTE_TOOL(
        f"traceroute -I -N {HOPS}",
        argv=("traceroute", "-n", "-I", "-q", "1", "-N", str(HOPS), "-m", str(HOPS), "{target}"),
        times=7,
        probes=HOPS,
    ),
    _TRACEROUTE_TOOL(
        f"traceroute (udp) -N {HOPS}",
        argv=("traceroute", "-n", "-q", "1", "-N", str(HOPS), "-m", str(HOPS), "{target}"),
        times=7,
        probes=HOPS,
    ),
    _SCAMPER_TOOL(
        f"scamper -N {HOPS}",
        argv=("scamper", "-O", "json", "-p", "10000", "-c",
              f"trace -P icmp-paris -q 1 -w 1 -m {HOPS} -N {HOPS} -g {HOPS + 1}",
              "-i", "{target}"),
        times=7,
        probes=HOPS,
    ),
)  # fmt: skip
