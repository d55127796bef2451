"""The programs on a place: coordinator, agent, broker, and a client."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

from fleet import AgentSpec, Broker, BrokerError, Fleet

from bench import proc
from bench.figures import BEYOND, BenchError, Run
from bench.peers import MAX_TTL, PER_TTL
from bench.places import Place

# Longer than the window in which identical jobs are coalesced (200 ms).
_APART_S = 0.21
# Time for work after an answer: acknowledgements, the audit entry.
_SETTLE_S = 0.03
_ATTACH_S = 20.0

OPTIONS = {"max_ttl": MAX_TTL, "packets_per_ttl": PER_TTL, "wait_time": 1}


@contextmanager
def stack_on(place: Place, *, broker: Broker | None = None) -> Iterator[Stack]:
    """Start the programs and wait until the agent is attached, directly or through `broker`."""
    spec = AgentSpec(place.host, place.colo, "Singapore, SG", "bench-a")
    with Fleet(
        place.lab,
        agents=[spec],
        grpc_host=place.grpc_host,
        broker=broker,
        installed=place.installed,
    ) as fleet:
        stack = Stack(place, fleet, spec)
        stack.wait_attached()
        yield stack


@contextmanager
def broker_on(place: Place) -> Iterator[Broker]:
    """A Mosquitto without access control.

    Raises:
        BenchError: it is not installed, or does not start.
    """
    if shutil.which("mosquitto") is None:
        raise BenchError("mosquitto is not installed: apt-get install mosquitto")
    with closing(Broker(place.lab, host=place.grpc_host)) as broker:
        try:
            broker.start()
        except BrokerError as error:
            raise BenchError(f"mosquitto did not start: {error}") from error
        yield broker


class Api:
    """The API of a coordinator on a place."""

    def __init__(self, place: Place, fleet: Fleet) -> None:
        self.fleet = fleet
        self._place = place

    @property
    def pid(self) -> int:
        """The coordinator's process id."""
        if self.fleet.coordinator is None:
            raise BenchError("the coordinator is not running")
        return self.fleet.coordinator.pid

    @property
    def address(self) -> str:
        """HOST:PORT of the API."""
        return urlsplit(self.fleet.url).netloc

    @property
    def path(self) -> str:
        """The operation's path."""
        return urlsplit(self.fleet.path()).path

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One HTTP exchange; the body is not decoded."""
        return self._place.outside.call(
            do="http",
            address=self.address,
            method=method,
            path=path,
            headers=self.fleet.headers(),
            body=body,
        )

    def counted(self, name: str) -> int:
        """The value of a metric without labels."""
        for line in self.ask("GET", "/metrics")["text"].splitlines():
            if line.startswith(f"{name} "):
                return int(float(line.split()[1]))
        raise BenchError(f"/metrics has no {name}")

    def shared_jobs(self) -> int:
        """Number of requests so far that shared an identical job; must stay 0."""
        return self.counted("colotrace_jobs_shared_total")

    def wait_attached(self, agents: int = 1) -> None:
        """Wait until the coordinator lists this many agents."""
        deadline = time.monotonic() + _ATTACH_S
        while time.monotonic() < deadline:
            colos = json.loads(self.ask("GET", f"{self.path}/colos")["text"])["result"]
            if sum(colo["agents"] for colo in colos) >= agents:
                return
            time.sleep(0.02)
        logs = [self.fleet.agent_log(each).read_text() for each in self.fleet.agents]
        raise BenchError("the agents did not attach:\n" + "".join(logs))


class Stack(Api):
    """The running programs and their client."""

    def __init__(self, place: Place, fleet: Fleet, spec: AgentSpec) -> None:
        super().__init__(place, fleet)
        self.spec = spec
        self._answered = 0.0

    @property
    def agent_pid(self) -> int:
        """The agent's process id."""
        return self.fleet.agents[self.spec.agent_id].pid

    def trace(self, target: str, *, packet_type: str) -> tuple[float, dict[str, Any]]:
        """Trace one target from the colo: milliseconds from request to answer, and the row."""
        time.sleep(max(self._answered + _APART_S - time.monotonic(), 0))
        body = {
            "targets": [target],
            "colos": [self._place.colo],
            "options": {**OPTIONS, "packet_type": packet_type},
        }
        got = self.ask("POST", self.path, body)
        self._answered = time.monotonic()
        if got["status"] != 200:
            raise BenchError(f"the coordinator answered {got['status']}: {got['text'][:500]}")
        row: dict[str, Any] = json.loads(got["text"])["result"][0]["colos"][0]
        if row["error"]:
            raise BenchError(f"the coordinator answered {row['error']}")
        return got["wall_ms"], row

    def run(self, packet_type: str) -> Run:
        """Trace the place's path, with the CPU time of each program."""
        pids = {"agent's CPU": self.agent_pid, "coordinator's CPU": self.pid}
        if self.fleet.broker is not None:
            pids["broker's CPU"] = self.fleet.broker.pid
        before = {what: proc.cpu_ms(pid) for what, pid in pids.items()}
        wall_ms, row = self.trace(self._place.target, packet_type=packet_type)
        time.sleep(_SETTLE_S)
        used = {what: proc.cpu_ms(pid) - before[what] for what, pid in pids.items()}
        rtts = [node.get("max_rtt_ms") or 0.0 for hop in row["hops"] for node in hop["nodes"]]
        longest_ms = max(rtts, default=0.0)
        full = [hop for hop in row["hops"] if not hop["packets_lost"]]
        return Run(
            {
                "wall": wall_ms,
                BEYOND: wall_ms - longest_ms,
                "agent's own time": row["traceroute_time_ms"],
                "longest RTT seen": longest_ms,
                **used,
            },
            complete=len(full) == len(row["hops"]) == self._place.hops,
        )
