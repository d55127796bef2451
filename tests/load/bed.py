"""A coordinator with simulated agents and clients, and the requests that it gets."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.authority import Authority

from bench import proc
from bench.figures import BenchError

from .names import NoNames
from .programs import PROGRAM, Agents, Clients, Coordinator, agent_names, colo_names

TARGETS = tuple(f"203.0.113.{number}" for number in range(1, 11))
_OPTIONS = {"max_ttl": 15, "packets_per_ttl": 3, "packet_type": "icmp"}
_LOOK_S = 0.05
SMALL_COLOS = 20
"""Requests of one row go to these colos."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done: all of it, or a little to see that it works."""

    colos: int
    agents: int
    requests: Sequence[tuple[int, int]]
    """Requests of so many colos and targets."""
    runs: int
    seconds: float
    clients: int
    installed: bool = True
    """Whether the installed programs are started, instead of forks of a process that has imported
    them."""


MIDDLE = Size(
    colos=300,
    agents=300,
    requests=((10, 10), (100, 10), (300, 1), (300, 10)),
    runs=5,
    seconds=8.0,
    clients=32,
)
LARGE = Size(
    colos=2_500,
    agents=5_000,
    requests=((10, 10), (300, 10), (1_000, 10), (2_500, 1), (2_500, 10)),
    runs=3,
    seconds=8.0,
    clients=32,
)
SHORT = Size(
    colos=20,
    agents=40,
    requests=((5, 10), (20, 10)),
    runs=1,
    seconds=0.5,
    clients=4,
    installed=False,
)


class Bed:
    """A coordinator, its agents and its clients."""

    def __init__(
        self,
        stack: ExitStack,
        directory: Path,
        size: Size,
        say: Callable[[str], None],
        *,
        program: Sequence[str | Path] = (PROGRAM,),
    ) -> None:
        """`program`: the coordinator's command."""
        self.size = size
        self.say = say
        self._attached = 0
        say(f"{size.agents} agents in {size.colos} colos attach")
        authority = Authority(directory / "tls")
        names = NoNames()
        stack.callback(names.close)
        self.coordinator = Coordinator(
            directory / "data",
            authority,
            ("--resolver", names.address),
            program=program,
            installed=size.installed,
        )
        stack.callback(self.coordinator.stop)
        agents = agent_names(size.colos, size.agents)
        # The agents of small requests have a process of their own, since real ones do not wait for
        # those of large requests.
        few = {f"{colo}-0" for colo in colo_names(SMALL_COLOS)}
        first = [agent for agent in agents if agent in few]
        second, third = halves([agent for agent in agents if agent not in few])
        self.agents = Agents(
            ("--coordinator", self.coordinator.grpc), authority, installed=size.installed
        )
        stack.callback(self.agents.close)
        self.clients = Clients([self.coordinator])
        stack.callback(self.clients.close)
        self.memory_kb = self._attach(first), self._attach(second), self._attach(third)
        """Memory an agent of the first few agents, of the first half and of the second half."""

    @property
    def fleet(self) -> str:
        """The fleet, in words."""
        return f"{self.size.agents:,} agents"

    def wait_attached(self, *, within_s: float = 60.0) -> float:
        """Wait until all agents are attached; returns the seconds it took.

        The agents are asked first: with thousands of them, `/metrics` costs the coordinator as much
        as many attachments.
        """
        began = time.monotonic()
        asked = (self.agents.attached, self.coordinator.attached)
        while any((found := attached()) < self._attached for attached in asked):
            if time.monotonic() - began > within_s:
                text = f"{found} of {self._attached} agents attached within {within_s:g} s"
                raise BenchError(text)
            time.sleep(_LOOK_S)
        return time.monotonic() - began

    def _attach(self, names: Sequence[str]) -> float:
        """Start these agents; returns the memory for each of them, in KB."""
        before_mb = proc.resident_mb(self.coordinator.pid)
        self._attached += len(names)
        self.agents.add(names)
        self.wait_attached()
        return (proc.resident_mb(self.coordinator.pid) - before_mb) * 1024 / len(names)


def halves(names: Sequence[str]) -> list[Sequence[str]]:
    """Two groups of one size."""
    return [names[::2], names[1::2]]


def request(colos: int, targets: int) -> dict[str, Any]:
    """So many targets from so many colos."""
    return {"targets": list(TARGETS[:targets]), "colos": colo_names(colos), "options": _OPTIONS}


def small_requests(colos: int) -> list[dict[str, Any]]:
    """One target from one colo; no two are alike."""
    places = itertools.product(TARGETS, colo_names(min(colos, SMALL_COLOS)))
    return [{"targets": [t], "colos": [c], "options": _OPTIONS} for t, c in places]
