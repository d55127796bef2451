"""What came of a measurement: latencies, complete answers, CPU times, and what limited the rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
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
        self.took_s = 0.0
        self._began = 0.0

    def __enter__(self) -> Self:
        self._before, self._began = self._read(), time.monotonic()
        return self

    def __exit__(self, *exc: object) -> None:
        self.took_s = time.monotonic() - self._began
        self.coordinator_ms, self.agents_ms, self.clients_ms, self.machine_ms = (
            after - before for before, after in zip(self._before, self._read(), strict=True)
        )

    def limit(self, took_s: float | None = None) -> str:
        """What limits the rate, in words: the program that used almost a core, or the machine.

        `took_s`: in how many seconds the programs used this time, if that is not the whole of it.
        """
        wall_s = took_s or self.took_s
        own = self.coordinator_ms / wall_s / 1e3
        agents = f"agents {self.agents_ms / wall_s / 10:.0f} %"
        shares = {
            "the coordinator's core": own,
            "the clients' core": self.clients_ms / self.took_s / 1e3,
            "this machine's cores": self.machine_ms / self.took_s / 1e3 / proc.cores(),
        }
        name, share = max(shares.items(), key=lambda each: each[1])
        if share < _SATURATED:
            return f"limit: latency, no core is saturated (coordinator {own * 100:.0f} %, {agents})"
        return f"limit: {name} ({share * 100:.0f} %, {agents})"


def most_frequent(limits: Sequence[str]) -> str:
    """The limit of most runs, with the shares of one of them."""
    kinds = [limit.partition("(")[0] for limit in limits]
    return limits[kinds.index(statistics.mode(kinds))] if limits else ""


def latencies(
    work: str,
    told: dict[str, Any],
    *,
    median: float | None = None,
    late: float | None = None,
    limit: str = "",
) -> Iterator[Figure]:
    """The median and the 99th percentile of a stream of requests, and its failures."""
    found = told["latencies_ms"]
    half_ms, late_ms = found[len(found) // 2], found[len(found) * 99 // 100]
    yield Figure(work, WHO, "median latency", "ms", (half_ms,), at_most=median, note=limit)
    yield Figure(work, WHO, "99th percentile", "ms", (late_ms,), at_most=late)
    yield from failures(work, told)


def failures(work: str, told: dict[str, Any], *, of: str = "failures") -> Iterator[Figure]:
    """How many rows and answers of a stream are not as they must be, and why."""
    count, why = sum(told["failures"].values()), "; ".join(told["failures"])
    yield Figure(work, WHO, of, "", (count,), at_most=0.0, note=why[:200])


def require_complete(told: dict[str, Any]) -> None:
    """Raise BenchError unless every answer is as it must be."""
    if told["failures"]:
        raise BenchError(f"answers are incomplete: {told['failures']}")
