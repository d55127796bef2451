"""What a load run measures: each function yields figures of one fleet."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping

from eventually import wait_until

from bench import proc
from bench.figures import Figure

from .bed import SMALL_COLOS, TARGETS, Bed, request, small_requests
from .outcome import WHO, Spent, failures, latencies, most_frequent, require_complete


def large(bed: Bed, colos: int, targets: int, costs: dict[int, float]) -> Iterator[Figure]:
    """Requests of so many colos and targets, one at a time. The CPU a row of one with all targets
    is entered in `costs`, by its number of rows."""
    found: dict[str, list[float]] = {}
    limits: list[str] = []
    for run in range(1, bed.size.runs + 1):
        bed.say(f"a request of {colos:,} colos x {targets}, {run} of {bed.size.runs}")
        values, limit = _one_request(bed, colos, targets)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
        limits.append(limit)
    required = targets == len(TARGETS) and colos == _REQUIRED_COLOS
    bounds = {
        "answer": 25_000.0,
        "coordinator's CPU": 0.15 if required else None,
        "after the last agent finished": 1_000.0 if required else None,
        "rows that failed": 0.0,
        "agents lost": 0.0,
    }
    work = f"{colos:,} colos x {targets}; {bed.fleet}"
    for name, samples in found.items():
        unit, note = _UNITS.get(name, ""), most_frequent(limits) if name == "answer" else ""
        yield Figure(work, WHO, name, unit, tuple(samples), at_most=bounds.get(name), note=note)
    if targets == len(TARGETS):
        costs[colos * targets] = statistics.median(found["coordinator's CPU"])


def growth(costs: Mapping[int, float], fleet: str) -> Iterator[Figure]:
    """The marginal CPU a row between the largest two requests, divided by that between the
    smallest two.

    `costs` has the CPU a row (ms) by the number of rows of the request. There is no figure for
    fewer than four sizes.
    """
    if len(costs) < 4:
        return
    sizes = sorted(costs)

    def marginal(low: int, high: int) -> float:
        return (high * costs[high] - low * costs[low]) / (high - low)

    first, last = marginal(*sizes[:2]), marginal(*sizes[-2:])
    yield Figure(
        f"growth from {sizes[0]:,} to {sizes[-1]:,} rows; {fleet}", WHO,
        "marginal CPU a row, largest to smallest", "", (last / first,), at_most=1.2,
        note=f"{first:.3f} and {last:.3f} ms a row",
    )  # fmt: skip


_REQUIRED_COLOS = 300
_UNITS = {
    "answer": "ms",
    "after the last agent finished": "ms",
    "coordinator's CPU": "ms a row",
    "agents' CPU": "ms a row",
    "size of the answer": "MB",
}


def _one_request(bed: Bed, colos: int, targets: int) -> tuple[dict[str, float], str]:
    """The values by quantity, and what limits the answer."""
    before = proc.cpu_ms(bed.coordinator.pid), bed.agents.cpu_ms()
    stream = {"name": "large", "bodies": [request(colos, targets)], "width": 1}
    with Spent(bed.coordinator, bed.agents, bed.clients) as spent:
        told = bed.clients.run([stream], seconds=0.0)["streams"]["large"]
    # The clients compare the rows after the answer.
    limit = spent.limit(told["latencies_ms"][0] / 1e3)
    time.sleep(0.3)  # work after the answer belongs to it: acknowledgements, the audit
    asked = colos * targets
    values = {
        "answer": told["latencies_ms"][0],
        "after the last agent finished": (told["answered_at"] - bed.agents.reported_at()) * 1e3,
        "coordinator's CPU": (proc.cpu_ms(bed.coordinator.pid) - before[0]) / asked,
        "agents' CPU": (bed.agents.cpu_ms() - before[1]) / asked,
        "size of the answer": told["bytes"] / 1e6,
        "rows that failed": asked - told["rows"] + sum(told["failures"].values()),
        "agents lost": bed.size.agents - bed.coordinator.attached(),
    }
    return values, limit


def beside(bed: Bed) -> Iterator[Figure]:
    """Small requests at a constant rate, alone and beside large ones back to back."""
    colos, targets = max(bed.size.requests)
    small = {"name": "small", "bodies": small_requests(bed.size.colos), "rate": 20.0}
    large = {"name": "large", "bodies": [request(colos, targets)], "width": 1}
    for streams, how, median, late in (
        ([small], "alone", None, None),
        ([small, large], f"beside {colos} x {targets}", 20.0, 150.0),
    ):
        bed.say(f"requests of one row, {how}")
        with Spent(bed.coordinator, bed.agents, bed.clients) as spent:
            got = bed.clients.run(streams, seconds=bed.size.seconds)
        work, limit = f"1 row at 20/s, {how}; {bed.fleet}", spent.limit()
        yield from latencies(work, got["streams"]["small"], median=median, late=late, limit=limit)


def mixed(bed: Bed) -> Iterator[Figure]:
    """Requests of three sizes at constant rates; agents answer after a delay."""
    colos, targets = max(bed.size.requests)
    sizes = {
        "1 row": (small_requests(bed.size.colos), 20.0),
        "10 x 3": ([request(10, 3)], 2.0),
        f"{colos} x {targets}": ([request(colos, targets)], 0.2),
    }
    streams = [{"name": n, "bodies": bodies, "rate": r} for n, (bodies, r) in sizes.items()]
    bed.say("requests of several sizes, agents answer after 200 ms")
    bed.agents.behave(report_after_s=0.2)
    try:
        with Spent(bed.coordinator, bed.agents, bed.clients) as spent:
            got = bed.clients.run(streams, seconds=bed.size.seconds)
    finally:
        bed.agents.behave(report_after_s=0.0)
    limit = spent.limit()
    for name in sizes:
        work = f"mixed, {name}, after 200 ms; {bed.fleet}"
        yield from latencies(work, got["streams"][name], limit=limit)


def missing(bed: Bed) -> Iterator[Figure]:
    """Agents that report late or never: their rows fail, and no others, and the answer is out in
    time."""
    late, silent = TARGETS[:2]
    bed.say("agents report late, or never")
    bed.agents.behave(late_targets=[late], silent_targets=[silent])
    body = request(min(bed.size.colos, SMALL_COLOS), len(TARGETS))
    streams = [
        {"name": "missing", "bodies": [body], "width": 1, "failing": [late, silent]},
        {"name": "small", "bodies": small_requests(bed.size.colos)[-SMALL_COLOS:], "rate": 5.0},
    ]
    try:
        told = bed.clients.run(streams, seconds=1.0)["streams"]
    finally:
        bed.agents.behave(late_targets=[], silent_targets=[])
    work = f"two of ten targets late or silent; {bed.fleet}"
    answer = tuple(told["missing"]["latencies_ms"])
    limit = "limit: the time of a job, which late agents use up"
    yield Figure(work, WHO, "answer", "ms", answer, at_most=25_000.0, note=limit)
    for name in ("small", "missing"):
        yield from failures(work, told[name], of=f"failures, {name}")
    wait_until(lambda: bed.agents.running() == 0, within_s=10.0)  # late frames were sent
    lost = bed.size.agents - bed.coordinator.attached()
    yield Figure(work, WHO, "agents lost", "", (lost,), at_most=0.0)


def small(bed: Bed) -> Iterator[Figure]:
    """Small requests, as many as can be, and then at half of that rate."""
    bodies = small_requests(bed.size.colos)
    rates, costs, limits = [], [], []
    for run in range(1, bed.size.runs + 1):
        clients = bed.size.clients
        bed.say(f"requests of one row, {clients} clients, {run} of {bed.size.runs}")
        streams = [{"name": "small", "bodies": bodies, "width": bed.size.clients}]
        with Spent(bed.coordinator, bed.agents, bed.clients) as spent:
            got = bed.clients.run(streams, seconds=bed.size.seconds / 2)
        told = got["streams"]["small"]
        require_complete(told)  # otherwise the rate means nothing
        rates.append(len(told["latencies_ms"]) / got["took_s"])
        costs.append(spent.coordinator_ms / len(told["latencies_ms"]))
        limits.append(spent.limit())
    work = f"1 row, {bed.size.clients} clients; {bed.fleet}"
    per_core = tuple(1e3 / cost for cost in costs)
    yield Figure(work, WHO, "requests", "/s", tuple(rates), note=most_frequent(limits))
    yield Figure(work, WHO, "requests for a second of its CPU", "", per_core, at_least=800.0)
    half = sorted(rates)[len(rates) // 2] / 2
    bed.say(f"requests of one row, {half:.0f} a second")
    stream = {"name": "small", "bodies": bodies, "rate": half}
    with Spent(bed.coordinator, bed.agents, bed.clients) as spent:
        got = bed.clients.run([stream], seconds=bed.size.seconds)
    work, limit = f"1 row at half of that rate; {bed.fleet}", spent.limit()
    yield from latencies(work, got["streams"]["small"], late=50.0, limit=limit)


def attached(bed: Bed) -> Iterator[Figure]:
    """Memory and CPU of agents that have nothing to do, and their return after a restart."""
    bed.say("agents are idle")
    agents = bed.size.agents
    enough = agents >= _AGENTS_OF_LARGE
    before, began = proc.cpu_ms(bed.coordinator.pid), time.monotonic()
    time.sleep(_IDLE_S if enough else bed.size.seconds)
    share = (proc.cpu_ms(bed.coordinator.pid) - before) / (time.monotonic() - began) / 10
    bed.say("the coordinator restarts")
    bed.coordinator.stop()
    bed.coordinator.start()
    with Spent(bed.coordinator, bed.agents, bed.clients) as spent:
        returned = bed.wait_attached()
    work = f"idle; {bed.fleet}"
    # The first few agents are left out: the coordinator loads code for them.
    _, first, second = bed.memory_kb
    yield Figure(
        work, WHO, "memory an agent", "KB", (first, second), at_most=40.0 if enough else None,
        note=f"first half {first:.1f}, second half {second:.1f}",
    )  # fmt: skip
    if enough:
        yield Figure(
            work, WHO, "memory an agent, second half to first", "", (second / first,), at_most=1.2
        )
    yield Figure(
        work, WHO, "CPU for 1,000 agents", "% of a core", (share * 1_000 / agents,),
        at_most=1.0 if enough else None,
    )  # fmt: skip
    yield Figure(
        work, WHO, "all attached after a restart", "s", (returned,), at_most=10.0,
        note=spent.limit(),
    )  # fmt: skip
    for who, spent_ms in ((WHO, spent.coordinator_ms), ("agents", spent.agents_ms)):
        yield Figure(work, who, "CPU for an attachment", "ms", (spent_ms / agents,))


_IDLE_S = 36.0
"""Holds four pings of each agent, and their share of the heartbeats, which are spread by then."""
_AGENTS_OF_LARGE = 1_000
"""Fewer agents are too few for figures of one agent: the coordinator's own share is larger."""
