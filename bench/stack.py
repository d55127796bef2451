"""The programs on a place: a coordinator, one agent, and a client on a connection that is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from fleet import AgentSpec, Fleet

from bench import proc
from bench.figures import BEYOND, BenchError, Run
from bench.peers import MAX_TTL, PER_TTL
from bench.places import Place

# Longer than identical jobs are run once for (200 ms): no answer is anybody else's.
_APART_S = 0.25
# What a job leaves to be done after its answer: acknowledgements, the audit line.
_SETTLE_S = 0.03
_ATTACH_S = 20.0

OPTIONS = {"max_ttl": MAX_TTL, "packets_per_ttl": PER_TTL, "wait_time": 1}


@contextmanager
def stack_on(place: Place) -> Iterator[Stack]:
    """The programs, the agent attached."""
    spec = AgentSpec(place.host, place.colo, "Singapore, SG", "bench-a")
    with Fleet(place.lab, agents=[spec], grpc_host=place.grpc_host) as fleet:
        stack = Stack(place, fleet, spec)
        stack.wait_attached()
        yield stack


class Stack:
    """The running programs and their client."""

    def __init__(self, place: Place, fleet: Fleet, spec: AgentSpec) -> None:
        self.spec = spec
        self.fleet = fleet
        self._place = place
        self._began = 0.0

    @property
    def agent_pid(self) -> int:
        """The agent's process id."""
        return self.fleet.agents[self.spec.agent_id].pid

    @property
    def coordinator_pid(self) -> int:
        """The coordinator's process id."""
        if self.fleet.coordinator is None:
            raise BenchError("the coordinator is not running")
        return self.fleet.coordinator.pid

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One exchange; the body is still text. `path` counts from the operation's."""
        return self._place.outside.call(
            do="http",
            address=urlsplit(self.fleet.url).netloc,
            method=method,
            path=path,
            headers=self.fleet.headers(),
            body=body,
        )

    def trace(self, target: str, *, packet_type: str) -> tuple[float, dict[str, Any]]:
        """One target from the one colo: the milliseconds from HTTP to HTTP, and the colo's row."""
        time.sleep(max(self._began + _APART_S - time.monotonic(), 0))
        self._began = time.monotonic()
        body = {
            "targets": [target],
            "colos": [self._place.colo],
            "options": {**OPTIONS, "packet_type": packet_type},
        }
        got = self.ask("POST", urlsplit(self.fleet.path()).path, body)
        if got["status"] != 200:
            raise BenchError(f"the coordinator answered {got['status']}: {got['text'][:500]}")
        row: dict[str, Any] = json.loads(got["text"])["result"][0]["colos"][0]
        if row["error"]:
            raise BenchError(f"the coordinator answered {row['error']}")
        return got["wall_ms"], row

    def run(self, packet_type: str) -> Run:
        """One trace of the place's path, with what each program spent on it."""
        pids = {"agent's CPU": self.agent_pid, "coordinator's CPU": self.coordinator_pid}
        before = {what: proc.cpu_ms(pid) for what, pid in pids.items()}
        wall_ms, row = self.trace(self._place.target, packet_type=packet_type)
        time.sleep(_SETTLE_S)
        used = {what: proc.cpu_ms(pid) - before[what] for what, pid in pids.items()}
        rtts = [node.get("max_rtt_ms") or 0.0 for hop in row["hops"] for node in hop["nodes"]]
        full = [hop for hop in row["hops"] if not hop["packets_lost"]]
        return Run(
            {
                "wall": wall_ms,
                BEYOND: wall_ms - self._place.longest_ms,
                "agent's own time": row["traceroute_time_ms"],
                "longest RTT seen": max(rtts, default=0.0),
                **used,
            },
            complete=len(full) == len(row["hops"]) == self._place.hops,
        )

    def shared_jobs(self) -> int:
        """How many callers so far were given an identical job's answer: must stay 0."""
        for line in self.ask("GET", "/metrics")["text"].splitlines():
            if line.startswith("colotrace_jobs_shared_total "):
                return int(float(line.split()[1]))
        raise BenchError("/metrics has no colotrace_jobs_shared_total")

    def wait_attached(self) -> None:
        """Wait until the coordinator lists the agent."""
        path = urlsplit(self.fleet.path()).path + "/colos"
        deadline = time.monotonic() + _ATTACH_S
        while time.monotonic() < deadline:
            colos = json.loads(self.ask("GET", path)["text"])["result"]
            if any(colo["agents"] for colo in colos):
                return
            time.sleep(0.02)
        raise BenchError(
            "the agent did not attach:\n" + self.fleet.agent_log(self.spec.agent_id).read_text()
        )
