"""Requests a second of coordinators, with agents that take no time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

from fleet import Broker, Fleet

from bench import proc
from bench.driver import Driver
from bench.figures import BenchError, Figure, Measurement, Run, Samples, alternate, figures_of
from bench.places import Place
from bench.rows.bus import BUS, DIRECT, added
from bench.rows.subject import Subject
from bench.rows.targets import draw
from bench.session import Session
from bench.stack import OPTIONS, Api, broker_on

_COLOS, _EACH = 20, 2
# Targets for each colo, and values of wait_time, which has no effect here. With all combinations,
# two equal requests are further apart than the window in which they would share a job.
_TARGETS, _WAITS_S = 50, (1, 2, 3, 4, 5)
_CLIENTS = 32
_WINDOW_S, _ALONE_S, _WARM_S = 3.0, 1.0, 3.0
_TWO = "colotrace, by MQTT, two coordinators"
_UNKEPT = "colotrace, direct, keeping no measurements"
_FOR_KEEPING, KEEPING_MS = "more than without keeping", 0.3
_RATE, _MEDIAN, _LATE = "requests", "median latency", "99th percentile"
_PER_CORE = "requests for a second of coordinators' CPU"
_MACHINE, _OWN = "the machine's cores, busy", "these processes alone"
_COORDINATORS, _BROKER, _AGENTS = "coordinators' CPU", "broker's CPU", "agents' CPU"
_ASKING = "clients' CPU"
_MOVED = "jobs that were moved"
_UNITS = {_RATE: "/s", _PER_CORE: "", _MACHINE: "%", _OWN: "%", _MOVED: "‰"} | dict.fromkeys(
    (_COORDINATORS, _BROKER, _AGENTS, _ASKING), "ms a request"
)
# Percent of one core above which a process is the limit; of all cores, the machine.
_FULL = 90.0
# Most percent of other programs for a valid rate.
_OTHERS = 20.0


@dataclass(frozen=True, slots=True)
class _Side:
    """Coordinators that share agents, and the other processes."""

    apis: list[Api]
    beside: Mapping[str, int]
    """Process ids by the name of their quantity."""

    def moved(self) -> int:
        """Number of jobs that were not accepted in time, and moved to another agent."""
        return sum(api.counted("colotrace_jobs_moved_total") for api in self.apis)


class _Asking:
    """The clients."""

    def __init__(self, place: Place, colos: list[str]) -> None:
        self._driver = Driver.load(place.spawn)
        targets = draw(_TARGETS)
        options = {**OPTIONS, "packet_type": "icmp"}
        self._bodies = [
            {"targets": [target], "colos": [colo], "options": {**options, "wait_time": wait_s}}
            for wait_s, target, colo in itertools.product(_WAITS_S, targets, colos)
        ]

    def close(self) -> None:
        """End the clients."""
        self._driver.close()

    def run(self, side: _Side, *, clients: int, seconds: float) -> Run:
        """Run `clients` for `seconds`, distributed round-robin over the coordinators."""
        coordinators = {f"coordinator {number}": api.pid for number, api in enumerate(side.apis, 1)}
        pids = {**coordinators, **side.beside}
        moved = side.moved()
        before = {label: proc.cpu_ms(pid) for label, pid in pids.items()}
        busy_s, began = proc.busy_s(), time.monotonic()
        got = self._driver.call(
            addresses=[api.address for api in side.apis],
            head=_head(side.apis[0]),
            bodies=self._bodies,
            clients=clients,
            seconds=seconds,
        )
        # Includes the check of the answers afterwards.
        busy = (proc.busy_s() - busy_s) / (time.monotonic() - began) / proc.cores() * 100
        used = {label: proc.cpu_ms(pid) - before[label] for label, pid in pids.items()}
        used[_ASKING] = got["cpu_ms"]
        latencies, took_s = got["latencies_ms"], got["took_s"]
        own = sum(used.values()) / took_s / proc.cores() / 10
        spent_ms = sum(used[label] for label in coordinators)
        others = {label: ms for label, ms in used.items() if label not in coordinators}
        return Run(
            {
                _RATE: len(latencies) / took_s,
                _MEDIAN: latencies[len(latencies) // 2],
                _LATE: latencies[len(latencies) * 99 // 100],
                _COORDINATORS: spent_ms / len(latencies),
                **{label: ms / len(latencies) for label, ms in others.items()},
                _PER_CORE: len(latencies) / spent_ms * 1e3,
                _MACHINE: busy,
                _OWN: own,
                _MOVED: (side.moved() - moved) / len(latencies) * 1e3,
            },
            limit=_limit(
                {label: ms / took_s / 10 for label, ms in used.items()},
                busy=busy,
                others=busy - own,
            )
            if clients > 1
            else "",
        )


def _limit(shares: Mapping[str, float], *, busy: float, others: float) -> str:
    """The limit of the rate, by the percentage of a core that each process used."""
    if others > _OTHERS:
        return "the machine was busy with other programs"
    most = max(shares, key=lambda label: shares[label])
    if shares[most] > _FULL:
        return f"the one core of {most.removesuffix(' CPU')}"
    return "all of the machine's cores" if busy > _FULL else "waits between processes"


def _head(api: Api) -> str:
    fields = {"Host": "bench", "Content-Type": "application/json", **api.fleet.headers()}
    told = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {api.path} HTTP/1.1\r\n{told}"


def _measure(session: Session) -> Iterator[Figure]:
    place = session.delays()
    colos = [f"sim{number:02}" for number in range(1, session.runs(_COLOS, quick=3) + 1)]
    with _sides(place, colos) as sides, closing(_Asking(place, colos)) as asking:
        session.say("requests: agents that answer at once")
        # Fills the cache of names, and opens the streams between all agents and coordinators.
        for side in sides.values():
            for api in side.apis:
                alone = _Side([api], {})
                asking.run(alone, clients=4, seconds=0.1 if session.quick else _WARM_S)
        several, alone_s, window_s = (
            (4, 0.2, 0.2) if session.quick else (_CLIENTS, _ALONE_S, _WINDOW_S)
        )
        for at_once, seconds in ((several, window_s), (1, alone_s)):
            measurements: dict[str, Measurement] = {
                label: partial(asking.run, side, clients=at_once, seconds=seconds)
                for label, side in sides.items()
                if len(side.apis) <= at_once
            }
            samples = alternate(measurements, runs=session.runs(7), warm=not session.quick)
            yield from _figures(at_once, len(colos), samples)
        if any(api.shared_jobs() for side in sides.values() for api in side.apis):
            raise BenchError("two requests were answered by one trace: the figures are void")


def _figures(at_once: int, colos: int, samples: dict[str, Samples]) -> Iterator[Figure]:
    clients = f"{at_once} clients at a time" if at_once > 1 else "one client"
    work = f"{clients}, {colos * _EACH} agents in {colos} colos that answer at once"
    yield from figures_of(work, samples, _UNITS, {})
    if at_once == 1:
        yield added(work, samples, _MEDIAN)
        pairs = zip(samples[DIRECT].of(_MEDIAN), samples[_UNKEPT].of(_MEDIAN), strict=True)
        more = tuple(kept - unkept for kept, unkept in pairs)
        yield Figure(work, DIRECT, f"{_MEDIAN}, {_FOR_KEEPING}", "ms", more, at_most=KEEPING_MS)


@contextmanager
def _sides(place: Place, colos: list[str]) -> Iterator[dict[str, _Side]]:
    """One coordinator with direct streams; one that keeps no measurements; one with a broker; and
    two with a broker."""
    flags = ("--requests-per-5-minutes", "1000000000")
    agents = [f"{colo}-{number}" for colo in colos for number in range(_EACH)]
    with ExitStack() as stack:

        def coordinator(
            *more: str, broker: Broker | None = None, beside: Fleet | None = None
        ) -> Fleet:
            fleet = Fleet(
                place.lab,
                agents=[],
                grpc_host=place.grpc_host,
                coordinator_flags=(*flags, *more),
                broker=broker,
                beside=beside,
                installed=place.installed,
            )
            return stack.enter_context(fleet)

        broker = stack.enter_context(broker_on(place))
        direct, unkept = coordinator(), coordinator("--keep-days", "0")
        first = coordinator(broker=broker)
        second = coordinator(broker=broker, beside=first)
        streaming, forgetting, meeting = (
            stack.enter_context(closing(place.agents(*where, *agents)))
            for where in (
                ("--coordinator", direct.grpc),
                ("--coordinator", unkept.grpc),
                ("--mqtt", broker.url),
            )
        )
        apis = [Api(place, fleet) for fleet in (direct, unkept, first, second)]
        for api in apis:
            api.wait_attached(len(agents))
        beside = {_BROKER: broker.pid, _AGENTS: meeting.pid}
        yield {
            DIRECT: _Side(apis[:1], {_AGENTS: streaming.pid}),
            _UNKEPT: _Side(apis[1:2], {_AGENTS: forgetting.pid}),
            BUS: _Side(apis[2:3], beside),
            _TWO: _Side(apis[2:], beside),
        }


SUBJECT = Subject(
    "requests",
    "Requests a second of one coordinator, and of two at a broker",
    "A request is for one target from one colo: 15 hops with 3 replies each, with names and ASNs. "
    "Agents are simulated in one process: they use the agent's links, and report the trace as soon "
    "as they accept it. Names are cached. Each client sends its next request after an answer, so "
    "with many clients the latency is queueing time (Little's law). Coordinators, broker, agents "
    "and clients share the cores: two coordinators only have twice the rate if there are enough "
    "cores. To estimate the rate of a coordinator with its own core, use its CPU time for a "
    "request.",
    _measure,
    plotted=("requests", _MEDIAN),
)
