"""The conditions of measurements, and the required accuracy for each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lab import Process
from lab.processes import stop_all

from bench.accuracy.contenders import AT_ONCE, HOPS, ONE_AT_A_TIME, Contender
from bench.accuracy.engine import Inside, colotrace
from bench.accuracy.stamps import Stamps


@dataclass(frozen=True, slots=True)
class Condition:
    """A state of the host and a way of sending."""

    name: str
    at_once: bool
    busy: bool
    median_us: float
    """Required upper bound of colotrace's median error."""
    last_us: float
    """Required upper bound of the 99th percentile of its error."""

    @property
    def title(self) -> str:
        """A heading."""
        host = "both cores busy" if self.busy else "idle"
        sent = f"a whole trace of {HOPS} probes at once" if self.at_once else "one probe at a time"
        return f"{host.capitalize()}, {sent}"

    def contenders(self, prober: Inside, stamps: Inside) -> tuple[Contender, ...]:
        """The tools that can send in this way. mtr cannot send at once."""
        probes = HOPS if self.at_once else 1
        tools: Sequence[Contender] = AT_ONCE if self.at_once else ONE_AT_A_TIME
        return (*colotrace(probes, prober), Stamps(probes, stamps), *tools)


ALL = (
    Condition("idle-single", at_once=False, busy=False, median_us=4, last_us=12),
    Condition("idle-burst", at_once=True, busy=False, median_us=10, last_us=45),
    Condition("busy-single", at_once=False, busy=True, median_us=20, last_us=60),
    Condition("busy-burst", at_once=True, busy=True, median_us=20, last_us=60),
)

# One for each core of a small machine is enough to keep the prober's core busy.
_MOST_LOOPS = 8


@contextmanager
def load(*, busy: bool, cores: int) -> Iterator[int]:
    """Keep the cores of this process busy with endless loops; yields their number."""
    loops = min(cores, _MOST_LOOPS) if busy else 0
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-ISc", "while True: pass"]
    running: list[Process] = []
    try:
        while len(running) < loops:
            running.append(Process(command, stdin=subprocess.DEVNULL, start_new_session=True))
        yield loops
    finally:
        stop_all(running)
