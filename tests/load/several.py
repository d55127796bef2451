"""Two coordinators that share a database and a broker, compared with one of each kind.

Both kinds have as many simulated agents: attached directly to a coordinator, or at the broker.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.authority import Authority

from bench import proc
from bench.figures import Figure

from .bed import small_requests
from .names import NoNames
from .outcome import require_complete
from .pair import Pair
from .programs import Agents, Clients, Coordinator, agent_names


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    agents: int
    runs: int
    seconds: float
    clients: int
    """Of each coordinator."""
    installed: bool = True
    """As of `bed.Size`."""


FULL = Size(agents=40, runs=5, seconds=4.0, clients=16)
SHORT = Size(agents=4, runs=1, seconds=0.5, clients=2, installed=False)


class Bed:
    """A coordinator with direct agents, and two coordinators with a broker."""

    def __init__(self, stack: ExitStack, directory: Path, size: Size) -> None:
        self.size = size
        authority = Authority(directory / "tls")
        names = NoNames()
        stack.callback(names.close)
        flags = ("--resolver", names.address)
        self.direct = Coordinator(directory / "direct", authority, flags, installed=size.installed)
        stack.callback(self.direct.stop)
        agents = Agents(("--coordinator", self.direct.grpc), authority, installed=size.installed)
        stack.callback(agents.close)
        attached = agent_names(size.agents, size.agents)
        agents.add(attached)
        self.direct.wait_attached(size.agents)
        pair = Pair(stack, directory, authority, flags, agents=attached, installed=size.installed)
        self.broker, self.pair = pair.broker, pair.coordinators
        self.alone = Clients([self.direct])
        stack.callback(self.alone.close)
        self.both = Clients(self.pair)
        stack.callback(self.both.close)


def added_latency(bed: Bed, say: Callable[[str], None]) -> Iterator[Figure]:
    """The median latency of a request of one row, directly and by the broker."""
    stream = {"name": "small", "bodies": small_requests(bed.size.agents), "rate": 20.0}
    medians: dict[str, list[float]] = {"direct": [], "broker": []}
    for _ in range(bed.size.runs):
        say("requests of one row, direct and by the broker")
        for name, clients, more in (
            ("direct", bed.alone, {}),
            ("broker", bed.both, {"at": [0]}),
        ):
            told = clients.run([stream | more], seconds=bed.size.seconds)["streams"]["small"]
            require_complete(told)
            medians[name].append(statistics.median(told["latencies_ms"]))
    work = "1 row at 20/s, one coordinator"
    for name, samples in medians.items():
        yield Figure(work, name, "median latency", "ms", tuple(samples))
    added = tuple(b - d for d, b in zip(medians["direct"], medians["broker"], strict=True))
    yield Figure(work, "broker", "added latency", "ms", added, at_most=2.0)


def capacity(bed: Bed, say: Callable[[str], None]) -> Iterator[Figure]:
    """Requests of one row for each second of CPU time, of one coordinator and of two."""
    one, two, broker = [], [], []
    for _ in range(bed.size.runs):
        say("requests of one row at one coordinator, and at two")
        one.append(_measured(bed, (0,))[1])
        before_ms = bed.broker.cpu_ms()
        requests, carried = _measured(bed, (0, 1))
        broker.append((bed.broker.cpu_ms() - before_ms) / requests)
        two.append(carried)
    work = f"1 row, {bed.size.clients} clients a coordinator, by the broker"
    quantity = "requests for a second of each one's CPU"
    yield Figure(work, "one coordinator", quantity, "", tuple(one))
    yield Figure(work, "two coordinators", quantity, "", tuple(two))
    ratio = tuple(both / single for single, both in zip(one, two, strict=True))
    yield Figure(work, "two coordinators", "to one", "", ratio, at_least=1.8)
    yield Figure(work, "broker", "CPU", "ms a request", tuple(broker))


def _measured(bed: Bed, chosen: Sequence[int]) -> tuple[int, float]:
    """The number of requests, and the sum of each coordinator's requests for a second of its
    CPU."""
    bodies = small_requests(bed.size.agents)
    streams: list[dict[str, Any]] = [
        {"name": str(index), "bodies": bodies, "width": bed.size.clients, "at": [index]}
        for index in chosen
    ]
    before = [proc.cpu_ms(bed.pair[index].pid) for index in chosen]
    told = bed.both.run(streams, seconds=bed.size.seconds)["streams"]
    total, carried = 0, 0.0
    for index, before_ms in zip(chosen, before, strict=True):
        require_complete(told[str(index)])
        requests = len(told[str(index)]["latencies_ms"])
        total += requests
        carried += requests / (proc.cpu_ms(bed.pair[index].pid) - before_ms) * 1e3
    return total, carried
