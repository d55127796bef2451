"""What came of a measurement: latencies, complete answers, CPU times, and what limited the rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from bench import proc
from bench.figures import BenchError, Figure

from .programs import Agents, Clients, Coordinator

WHO = "coordinator"
_SATURATED = 0.9
"""Share of a core from which it counts as the limit."""


class Spent:
    """CPU time of a measurement's programs, in a with-statement."""

    def __init__(self, coordinator: Coordinator, agents: Agents, clients: Clients) -> None:
        self._read = lambda: (
            proc.cpu_ms(coordinator.pid), agents.cpu_ms(), clients.cpu_ms(), proc.busy_s() * 1e3
        )  # fmt: skip
        self._before = (0.0, 0.0, 0.0, 0.0)
        self.coordinator_ms = self.agents_ms = self.clients_ms = self.machine_ms = 0.0

    def __enter__(self) -> Self:
        self._before = self._read()
        return self

    def __exit__(self, *exc: object) -> None:
        self.coordinator_ms, self.agents_ms, self.clients_ms, self.machine_ms = (
            after - before for before, after in zip(self._before, self._read(), strict=True)
        )

    def limit(self, took_s: float) -> str:
        """What limits the rate: the program that used almost a core, or the machine."""
        cores = proc.cores()
        shares = {
            "the coordinator's core": self.coordinator_ms / took_s / 1e3,
            "the clients' core": self.clients_ms / took_s / 1e3,
            "this machine's cores": self.machine_ms / took_s / 1e3 / cores,
        }
        name, share = max(shares.items(), key=lambda each: each[1])
        if share < _SATURATED:
            name, share = "latency, no core is saturated", shares["the coordinator's core"]
        others = f"agents {self.agents_ms / took_s / 10:.0f} %"
        return f"{name} ({share * 100:.0f} %, {others})"


def latencies(
    work: str, told: dict[str, Any], *, median: float | None = None, late: float | None = None
) -> Iterator[Figure]:
    """The median and the 99th percentile of a stream of requests.

    Raises:
        BenchError: an answer was not complete.
    """
    require_complete(told)
    found = told["latencies_ms"]
    yield Figure(work, WHO, "median latency", "ms", (found[len(found) // 2],), at_most=median)
    late_ms = found[len(found) * 99 // 100]
    yield Figure(work, WHO, "99th percentile", "ms", (late_ms,), at_most=late)


def require_complete(told: dict[str, Any]) -> None:
    """Raise BenchError unless every answer is as it must be."""
    if told["failures"]:
        raise BenchError(f"answers are incomplete: {told['failures']}")
