"""A client with hundreds of heavy requests in flight does not delay another client's single one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fleet import AgentSpec, Fleet
from fleet.asking import NO_TLS, metric, until
from lab import Lab

HEAVY = 120
"""Requests at once, of ten silent targets each: more than the agents' slots and their rate hold."""
OTHER = "b" * 32


@pytest.fixture
def busy_fleet(lab: Lab, own_agents: list[AgentSpec]) -> Iterator[Fleet]:
    """Two colos, with agents of 40 slots."""
    with Fleet(lab, agents=own_agents, agent_flags=("--max-jobs", "40")) as fleet:
        fleet.wait_attached()
        yield fleet


async def test_backlog_of_one_account_leaves_slots_to_another(busy_fleet: Fleet, lab: Lab) -> None:
    """Its requests are answered in about the time that they take on idle agents."""
    token = busy_fleet.command("token", "create", "--account", OTHER).strip()
    dark = lab.address("dark")
    heavy = {"targets": [dark], "options": {"max_ttl": 12, "packets_per_ttl": 10}}
    limits = httpx.Limits(max_connections=1_000)
    async with httpx.AsyncClient(verify=NO_TLS, timeout=40, limits=limits) as client:

        async def ask(path: str, token: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.post(path, json=body, headers=headers)
            return time.monotonic() - began, answer.json()

        async def overload(number: int) -> None:
            # Different waits, so that identical jobs do not share a trace.
            options = {**heavy["options"], "wait_time": 2 + number % 3}
            targets = [*lab.many()[number % 90 : number % 90 + 9], dark]
            await ask(busy_fleet.path(), busy_fleet.token, {"targets": targets, "options": options})

        small = {"targets": [lab.address("web")], "options": {"max_ttl": 8, "wait_time": 1}}
        idle_s, answer = await ask(busy_fleet.path(OTHER), token, small)
        assert {row["error"] for row in answer["result"][0]["colos"]} == {""}

        async with asyncio.TaskGroup() as tasks:
            overloading = [tasks.create_task(overload(number)) for number in range(HEAVY)]

            async def full() -> bool:
                return await metric(busy_fleet, "colotrace_jobs_waiting") > 500

            await until(full, within_s=5)
            rows: Counter[str] = Counter()
            seconds = []
            for _ in range(5):
                took_s, answer = await ask(busy_fleet.path(OTHER), token, small)
                seconds.append(took_s)
                rows.update(row["error"] for row in answer["result"][0]["colos"])
            waiting = await metric(busy_fleet, "colotrace_jobs_waiting")
            for task in overloading:
                task.cancel()
    assert waiting > 0
    assert rows == {"": 5 * 2}
    assert sorted(seconds)[2] < idle_s + 3, seconds
