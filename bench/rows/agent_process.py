"""Start time of an agent, and its memory and CPU while it is idle."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from bench import proc
from bench.figures import BenchError, Figure
from bench.places import Place
from bench.rows.subject import Subject
from bench.session import Session
from bench.stack import Stack, stack_on

_WORK = "colotrace-agent run"
_WINDOW_S = 5.0
_UP_WITHIN_S = 20.0
_TYPES = ("icmp", "udp", "tcp", "gre", "gre+icmp")


def _measure(session: Session) -> Iterator[Figure]:
    place = replace(session.routers(), installed=True)  # its start is measured here
    up_s, bare_mb, used_mb = [], [], []
    with stack_on(place) as stack:
        session.say("agent process: starts")
        for _ in range(session.runs(5)):
            stack.fleet.stop_agent(stack.spec.agent_id)
            up_s.append(_start(stack))
            bare_mb.append(proc.resident_mb(stack.agent_pid))
            _trace_all(stack, place, _TYPES[: session.runs(len(_TYPES))])
            used_mb.append(proc.resident_mb(stack.agent_pid))
        windows = session.runs(4)
        window_s = 0.2 if session.quick else _WINDOW_S
        session.say(f"agent process: idle for {windows * window_s:g} s")
        idle = [_idle_percent(stack, window_s) for _ in range(windows)]
        coordinator_mb = proc.resident_mb(stack.pid)
    yield Figure(_WORK, "agent", "start to attached", "s", tuple(up_s), at_most=1.5)
    yield Figure(_WORK, "agent", "resident, fresh", "MB", tuple(bare_mb))
    yield Figure(
        _WORK, "agent", "resident, idle", "MB", tuple(used_mb), at_most=95.0,
        note="after a trace of each packet type and family",
    )  # fmt: skip
    yield Figure(
        _WORK, "agent", "idle, of one core", "%", tuple(idle), at_most=0.5,
        note=f"windows of {_WINDOW_S:g} s, attached",
    )  # fmt: skip
    yield Figure(_WORK, "coordinator", "resident", "MB", (coordinator_mb,))


def _start(stack: Stack) -> float:
    """Seconds from the start of the agent to the coordinator's log line that it is attached."""
    log = stack.fleet.directory / "coordinator.log"
    offset = log.stat().st_size
    began = time.time()
    stack.fleet.start_agent(stack.spec)
    while time.time() < began + _UP_WITHIN_S:
        with log.open() as stream:
            stream.seek(offset)
            for line in stream.readlines():
                if '"agent_attached"' in line and line.endswith("\n"):
                    # The time stamp of the log line, so that our polling interval does not matter.
                    at = datetime.fromisoformat(json.loads(line)["timestamp"])
                    return at.timestamp() - began
        time.sleep(0.02)
    raise BenchError(f"the agent is not attached after {_UP_WITHIN_S:g} s")


def _trace_all(stack: Stack, place: Place, types: Sequence[str]) -> None:
    for target in place.named.values():
        for kind in types:
            stack.trace(target, packet_type=kind)


def _idle_percent(stack: Stack, window_s: float) -> float:
    cpu, began = proc.cpu_ms(stack.agent_pid), time.monotonic()
    time.sleep(window_s)
    used_ms = proc.cpu_ms(stack.agent_pid) - cpu
    return used_ms / (time.monotonic() - began) / 10


SUBJECT = Subject(
    "agent-process",
    "An agent's process: start, memory, idle",
    "The start includes entering the lab's namespace (some milliseconds) and ends with the "
    "coordinator's log line. MB are resident pages, with shared libraries counted in full. An idle "
    "agent has a stream with heartbeats.",
    _measure,
)
