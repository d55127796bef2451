"""What a load run measures: each function yields figures of one fleet."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.authority import Authority

from bench import proc
from bench.figures import BenchError, Figure

from .names import NoNames
from .programs import Agents, Clients, Coordinator, agent_names, colo_names

TARGETS = tuple(f"203.0.113.{number}" for number in range(1, 11))
_OPTIONS = {"max_ttl": 15, "packets_per_ttl": 3, "packet_type": "icmp"}
_SMALL_COLOS = 20
WHO = "coordinator"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done: all of it, or a little to see that it works."""

    colos: int
    agents: int
    rows_of: Sequence[int]
    """Requests of so many colos with ten targets each."""
    runs: int
    seconds: float
    clients: int


MIDDLE = Size(colos=300, agents=300, rows_of=(10, 100, 300), runs=5, seconds=8.0, clients=32)
LARGE = Size(colos=2_500, agents=5_000, rows_of=(1_000, 2_500), runs=3, seconds=8.0, clients=32)
SHORT = Size(colos=20, agents=40, rows_of=(5, 20), runs=1, seconds=1.0, clients=4)


class Bed:
    """A coordinator, its agents and its clients."""

    def __init__(
        self, stack: ExitStack, directory: Path, size: Size, say: Callable[[str], None]
    ) -> None:
        self.size = size
        self.say = say
        say(f"{size.agents} agents in {size.colos} colos attach")
        authority = Authority(directory / "tls")
        names = NoNames()
        stack.callback(names.close)
        self.coordinator = Coordinator(directory / "data", authority, ("--resolver", names.address))
        stack.callback(self.coordinator.stop)
        self.alone_mb = proc.resident_mb(self.coordinator.pid)
        where = ("--coordinator", self.coordinator.grpc)
        agents = agent_names(size.colos, size.agents)
        # The agents of small requests have a process of their own, since real ones do not wait for
        # those of large requests.
        few = {f"{colo}-0" for colo in colo_names(_SMALL_COLOS)}
        groups = [[a for a in agents if a in few], *halves([a for a in agents if a not in few])]
        self.agents = Agents(where, [group for group in groups if group], authority)
        stack.callback(self.agents.close)
        self.clients = Clients([self.coordinator])
        stack.callback(self.clients.close)
        self.coordinator.wait_attached(size.agents)

    @property
    def fleet(self) -> str:
        """The fleet, in words."""
        return f"{self.size.agents:,} agents in {self.size.colos:,} colos"


def halves(names: Sequence[str]) -> list[Sequence[str]]:
    """Two groups of one size."""
    return [names[::2], names[1::2]]


def large_request(colos: int) -> dict[str, Any]:
    """Ten targets from so many colos."""
    return {"targets": list(TARGETS), "colos": colo_names(colos), "options": _OPTIONS}


def small_requests(colos: int) -> list[dict[str, Any]]:
    """One target from one colo; no two are alike."""
    places = itertools.product(TARGETS, colo_names(min(colos, _SMALL_COLOS)))
    return [{"targets": [t], "colos": [c], "options": _OPTIONS} for t, c in places]


def rows(bed: Bed) -> Iterator[Figure]:
    """Requests of ten targets, by the number of colos, whose agents answer at once."""
    for colos in bed.size.rows_of:
        found: dict[str, list[float]] = {}
        for _ in range(bed.size.runs):
            bed.say(f"a request of {colos} colos with 10 targets")
            for name, value in _one_request(bed, colos).items():
                found.setdefault(name, []).append(value)
        work = f"{colos:,} colos with 10 targets; {bed.fleet}"
        bounds = {
            "answer": 25_000.0,
            "coordinator's CPU": 0.15 if colos <= 300 else None,
            "after the last agent finished": 1_000.0 if colos <= 300 else None,
            "rows that failed": 0.0,
            "agents lost": 0.0,
        }
        for name, values in found.items():
            yield Figure(
                work, WHO, name, _UNITS.get(name, ""), tuple(values), at_most=bounds.get(name)
            )


_UNITS = {
    "answer": "ms",
    "after the last agent finished": "ms",
    "coordinator's CPU": "ms a row",
    "agents' CPU": "ms a row",
    "size of the answer": "MB",
}


def _one_request(bed: Bed, colos: int) -> dict[str, float]:
    before = proc.cpu_ms(bed.coordinator.pid), bed.agents.cpu_ms()
    stream = {"name": "large", "bodies": [large_request(colos)], "width": 1}
    told = bed.clients.run([stream], seconds=0.0)["streams"]["large"]
    time.sleep(0.3)  # work after the answer belongs to it: acknowledgements, the audit
    asked = colos * len(TARGETS)
    return {
        "answer": told["latencies_ms"][0],
        "after the last agent finished": (told["answered_at"] - bed.agents.reported_at()) * 1e3,
        "coordinator's CPU": (proc.cpu_ms(bed.coordinator.pid) - before[0]) / asked,
        "agents' CPU": (bed.agents.cpu_ms() - before[1]) / asked,
        "size of the answer": told["bytes"] / 1e6,
        "rows that failed": asked - told["rows"] + sum(told["failures"].values()),
        "agents lost": bed.size.agents - bed.coordinator.attached(),
    }


def beside(bed: Bed) -> Iterator[Figure]:
    """Small requests at a constant rate, alone and beside large ones back to back."""
    colos = max(bed.size.rows_of)
    small = {"name": "small", "bodies": small_requests(bed.size.colos), "rate": 20.0}
    large = {"name": "large", "bodies": [large_request(colos)], "width": 1}
    for streams, how, median, late in (
        ([small], "alone", None, None),
        ([small, large], f"beside requests of {colos} colos with 10 targets", 20.0, 150.0),
    ):
        bed.say(f"requests of one row, {how}")
        told = bed.clients.run(streams, seconds=bed.size.seconds)["streams"]["small"]
        work = f"20 requests of one row a second, {how}; {bed.fleet}"
        yield from _latencies(work, told, median=median, late=late)


def small(bed: Bed) -> Iterator[Figure]:
    """Small requests, as many as can be, and then at half of that rate."""
    bodies = small_requests(bed.size.colos)
    rates, costs = [], []
    for _ in range(bed.size.runs):
        bed.say(f"requests of one row, {bed.size.clients} clients")
        before = proc.cpu_ms(bed.coordinator.pid)
        streams = [{"name": "small", "bodies": bodies, "width": bed.size.clients}]
        got = bed.clients.run(streams, seconds=bed.size.seconds / 2)
        told = got["streams"]["small"]
        _require_complete(told)
        spent_ms = proc.cpu_ms(bed.coordinator.pid) - before
        rates.append(len(told["latencies_ms"]) / got["took_s"])
        costs.append(spent_ms / len(told["latencies_ms"]))
    work = f"requests of one row, {bed.size.clients} clients; {bed.fleet}"
    per_core = tuple(1e3 / cost for cost in costs)
    yield Figure(work, WHO, "requests", "/s", tuple(rates))
    yield Figure(work, WHO, "requests for a second of its CPU", "", per_core, at_least=800.0)
    half = sorted(rates)[len(rates) // 2] / 2
    stream = {"name": "small", "bodies": bodies, "rate": half}
    told = bed.clients.run([stream], seconds=bed.size.seconds)["streams"]["small"]
    work = f"requests of one row at half of that rate; {bed.fleet}"
    yield from _latencies(work, told, late=50.0)


def attached(bed: Bed) -> Iterator[Figure]:
    """Memory and CPU of agents that have nothing to do, and their return after a restart."""
    bed.say("agents are idle")
    agents = bed.size.agents
    own_kb = (proc.resident_mb(bed.coordinator.pid) - bed.alone_mb) * 1024 / agents
    before, began = proc.cpu_ms(bed.coordinator.pid), time.monotonic()
    time.sleep(bed.size.seconds)
    share = (proc.cpu_ms(bed.coordinator.pid) - before) / (time.monotonic() - began) / 10
    bed.say("the coordinator restarts")
    bed.coordinator.stop()
    bed.coordinator.start()
    returned = bed.coordinator.wait_attached(agents)
    work = f"idle; {bed.fleet}"
    yield Figure(work, WHO, "memory an agent", "KB", (own_kb,), at_most=40.0)
    yield Figure(
        work, WHO, "CPU for 1,000 agents", "% of a core", (share * 1_000 / agents,), at_most=1.0
    )
    yield Figure(work, WHO, "all attached after a restart", "s", (returned,), at_most=10.0)


def _latencies(
    work: str, told: dict[str, Any], *, median: float | None = None, late: float | None = None
) -> Iterator[Figure]:
    _require_complete(told)
    found = told["latencies_ms"]
    yield Figure(work, WHO, "median latency", "ms", (found[len(found) // 2],), at_most=median)
    late_ms = found[len(found) * 99 // 100]
    yield Figure(work, WHO, "99th percentile", "ms", (late_ms,), at_most=late)


def _require_complete(told: dict[str, Any]) -> None:
    if told["failures"]:
        raise BenchError(f"answers are incomplete: {told['failures']}")
