"""Requests to a fleet, some of which take their time, and what its coordinator knows meanwhile."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import eventually
import httpx
from lab import Lab

from fleet.fleet import NO_TLS, Fleet

_BUSY = 5
"""How much longer than its bound a wait may take: the machine may be busy with other work."""


def slow(lab: Lab, *colos: str, **options: Any) -> dict[str, Any]:
    """A request that takes 5 s: the target answers nothing. With `multipath` it takes 10 s. From
    all colos, if none are given."""
    return {
        "targets": [lab.address("dark")],
        "colos": list(colos),
        "options": {"wait_time": 5, "max_ttl": 12, **options},
    }


async def ask(fleet: Fleet, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; cancelling it is the client's going away."""
    async with httpx.AsyncClient(headers=fleet.headers(), timeout=30, verify=NO_TLS) as client:
        answer = (await client.post(fleet.path(), json=body)).json()
        assert isinstance(answer, dict)
        return answer


async def metric(fleet: Fleet, *names: str) -> float:
    """The sum of the coordinator's metrics of these names, over labels, all at one time."""
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        text = (await client.get(f"{fleet.url}/metrics")).text
    starts = tuple(name + end for name in names for end in " {")
    lines = [line for line in text.splitlines() if line.startswith(starts)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def sent_packets(fleet: Fleet) -> int:
    """How many probes all agents have sent, by their last reports."""
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        text = (await client.get(f"{fleet.url}/metrics")).text
    found = [
        line.rpartition(" ")[2]
        for line in text.splitlines()
        if line.startswith("colotrace_agent_packets_total") and 'kind="sent"' in line
    ]
    return int(sum(map(float, found)))


async def agents(fleet: Fleet) -> dict[str, int]:
    """How many agents each colo has, by the coordinator's API."""
    async with httpx.AsyncClient(headers=fleet.headers(), timeout=5, verify=NO_TLS) as client:
        answer = await client.get(f"{fleet.path()}/colos")
    assert answer.status_code == 200, answer.text
    return {colo["name"]: colo["agents"] for colo in answer.json()["result"] if colo["agents"]}


async def until(true: Callable[[], Awaitable[bool]], *, within_s: float) -> float:
    """Waits until that is true; the seconds it took. `within_s` is the bound on a quiet machine."""
    began = time.monotonic()
    await eventually.until(true, within_s=_BUSY * within_s)
    return time.monotonic() - began


async def until_running(fleet: Fleet, jobs: int = 1) -> None:
    """Returns once an agent has told of that many jobs since the coordinator's start."""

    async def told() -> bool:
        return await metric(fleet, "colotrace_frames_total") >= jobs

    await until(told, within_s=10)
