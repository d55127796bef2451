"""colotrace itself: the agent's prober with its real sockets."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.accuracy.errors import Errors
from bench.accuracy.join import of_trace
from bench.driver import Driver
from bench.figures import BenchError
from bench.responder import Responder
from bench.responder.responder import TARGET

_INSIDE = Path(__file__).with_name("inside_prober.py")
_PAUSE_S = 0.002


class Inside:
    """A helper process, started when it is first needed and shared by all tools."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._driver: Driver | None = None

    def driver(self, responder: Responder) -> Driver:
        """The process."""
        if self._driver is None:
            self._driver = Driver(responder.spawn, [sys.executable, self._program])
        return self._driver


@dataclass(frozen=True, slots=True)
class Colotrace:
    """Traces of one packet type and family with one probe for each TTL, `probes` at once."""

    packet_type: str
    family: int
    probes: int
    inside: Inside = field(repr=False)
    package: str = ""
    note: str = ""

    @property
    def label(self) -> str:
        """Its name in the report."""
        return f"colotrace {self.packet_type}" + (" IPv6" if self.family == 6 else "")

    @property
    def command(self) -> str:
        """A description for the report."""
        return f"the agent's prober: packet_type={self.packet_type} max_ttl={self.probes}"

    def collect(self, responder: Responder, errors: Errors) -> None:
        """Add about a hundred samples."""
        times = -(-100 // self.probes)
        since = responder.count
        told = self.inside.driver(responder).call(
            target=TARGET[self.family],
            packet_type=self.packet_type,
            max_ttl=self.probes,
            times=times,
            pause_s=_PAUSE_S,
        )["traces"]
        if len(told) != times:
            raise BenchError(f"{self.label}: {len(told)} traces of {times}")
        records = responder.records(since=since)
        for trace in told:
            reported, found = of_trace(
                trace["replies"], records, began=trace["began"], ended=trace["ended"]
            )
            errors.add(reported, found)
            errors.lost += self.probes - len(reported)


def colotrace(probes: int, inside: Inside) -> tuple[Colotrace, ...]:
    """All packet types, and ICMP over IPv6."""
    kinds = [("icmp", 4), ("udp", 4), ("tcp", 4), ("gre", 4), ("icmp", 6)]
    return tuple(Colotrace(kind, family, probes, inside) for kind, family in kinds)


def inside_prober() -> Inside:
    """The process for `colotrace`."""
    return Inside(_INSIDE)
