"""A coordinator that was stopped or has just started does not treat its agents as lost."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import httpx
import pytest
from eventually import until
from fleet import AgentSpec, Fleet
from fleet.asking import ask, metric, until_running
from lab import Lab

LINKS = pytest.mark.parametrize(
    "own_fleet",
    ["direct", pytest.param("mqtt", marks=pytest.mark.xdist_group("mqtt"))],
    indirect=True,
)


@pytest.fixture
def own_agents(own_agents: list[AgentSpec]) -> list[AgentSpec]:
    """Two in fra01, so that a job would move if its agent counted as lost."""
    spare = AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-b")
    return [*own_agents, spare]


def _running_jobs(lab: Lab) -> dict[str, Any]:
    """Start traces that take 2 s, some with silent targets."""
    targets = [lab.address("dark"), *lab.many()[:4]]
    return {"targets": targets, "options": {"wait_time": 2, "max_ttl": 12}}


async def _jobs(fleet: Fleet) -> float:
    """Number of jobs that requests have asked for, whether they run, have ended or are shared."""
    names = ("colotrace_jobs_running", "colotrace_jobs_total", "colotrace_jobs_shared_total")
    return await metric(fleet, *names)


@pytest.mark.parametrize(
    ("own_fleet", "frozen_s"),
    [
        ("direct", 3.5),
        ("direct", 10.0),
        pytest.param("mqtt", 3.5, marks=pytest.mark.xdist_group("mqtt")),
    ],
    indirect=["own_fleet"],
)
async def test_coordinator_stopped_and_continued(
    own_fleet: Fleet, lab: Lab, *, frozen_s: float
) -> None:
    """Stopped for longer than the heartbeat timeout: no job fails, and none moves."""
    asking = [asyncio.create_task(ask(own_fleet, _running_jobs(lab))) for _ in range(2)]
    await until_running(own_fleet)
    # The stop should also come after new offers.
    before = await _jobs(own_fleet)
    body = _running_jobs(lab)
    late = asyncio.create_task(ask(own_fleet, {**body, "colos": ["fra01"]}))

    async def offered() -> bool:
        return await _jobs(own_fleet) >= before + len(body["targets"])

    await until(offered, within_s=5)
    assert own_fleet.coordinator is not None
    os.kill(own_fleet.coordinator.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(frozen_s)
    finally:
        os.kill(own_fleet.coordinator.pid, signal.SIGCONT)
    for answer in await asyncio.gather(*asking, late):
        rows = [row["error"] for target in answer["result"] for row in target["colos"]]
        assert rows == [""] * len(rows), answer["messages"]
        moved = [m for m in answer["messages"] if m["code"] == 1110]
        assert moved == []


@LINKS
async def test_coordinator_restarted_under_load(own_fleet: Fleet, lab: Lab) -> None:
    """Requests during its start wait for their colos; no row says that no agent is attached."""
    stop = asyncio.Event()
    answers: list[dict[str, Any]] = []

    async def keep_asking() -> None:
        body = {"targets": lab.many()[:3], "options": {"wait_time": 1, "max_ttl": 12}}
        while not stop.is_set():
            try:
                answers.append(await ask(own_fleet, body))
            except httpx.TransportError:
                await asyncio.sleep(0.01)

    load = [asyncio.create_task(keep_asking()) for _ in range(3)]
    await until_running(own_fleet)
    await asyncio.to_thread(own_fleet.stop_coordinator, kill=True)
    answers.clear()
    await asyncio.to_thread(own_fleet.start_coordinator)
    await until(lambda: len(answers) >= 12, within_s=60)
    stop.set()
    await asyncio.gather(*load)
    for answer in answers:
        rows = [row["error"] for target in answer["result"] for row in target["colos"]]
        assert rows == [""] * len(rows), answer["messages"]
