"""The places for jobs of an agent that works for two real coordinators."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fleet import AgentSpec, Broker, Fleet
from fleet.asking import NO_TLS, metric, until
from fleet.fleet import two_coordinators
from lab import Lab

AGENT = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
SLOTS = 20
TOKENS = 4
"""Of the busy account, since one caller may not have all slots of a coordinator."""
BACKLOG = 40
"""Requests at each coordinator."""
BUSY, LIGHT = "a" * 32, "b" * 32
OPTIONS = {"packet_type": "udp", "max_ttl": 8, "wait_time": 1}


@pytest.fixture
def narrow(lab: Lab, broker: Broker) -> Iterator[list[Fleet]]:
    """Two coordinators, with an agent that takes few jobs."""
    flags = ("--max-jobs", str(SLOTS))
    with two_coordinators(lab, broker, agents=[AGENT], agent_flags=flags) as both:
        yield both


async def test_backlog_at_two_coordinators_leaves_places_to_another_account(
    lab: Lab, narrow: list[Fleet]
) -> None:
    """One account has more jobs at each of them than the agent has places. A job of another account
    does not wait until one of these has ended, after 5 s."""

    def tokens(account: str) -> list[str]:
        create = ("token", "create", "--account", account)
        return [narrow[0].command(*create).strip() for _ in range(TOKENS)]

    busy_tokens, (light, *_) = tokens(BUSY), tokens(LIGHT)
    limits = httpx.Limits(max_connections=500)
    async with httpx.AsyncClient(verify=NO_TLS, timeout=40, limits=limits) as client:

        async def ask(fleet: Fleet, account: str, token: str, **options: Any) -> str:
            """The error of a row."""
            name = "dark" if account == BUSY else "web"
            body = {"targets": [lab.address(name)], "options": {**OPTIONS, **options}}
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.post(fleet.path(account), json=body, headers=headers)
            error: str = answer.json()["result"][0]["colos"][0]["error"]
            return error

        async def keep_busy(fleet: Fleet, number: int) -> None:
            token = busy_tokens[number % TOKENS]
            while True:  # identical requests would share a job
                await ask(fleet, BUSY, token, port=33434 + number, wait_time=5)

        async with asyncio.TaskGroup() as tasks:
            busy = [
                tasks.create_task(keep_busy(fleet, number))
                for fleet in narrow
                for number in range(BACKLOG)
            ]
            for fleet in narrow:

                async def full(fleet: Fleet = fleet) -> bool:
                    return await metric(fleet, "colotrace_jobs_running") >= SLOTS - 2

                await until(full, within_s=5)
            took_s, errors = [], []
            for number in range(6):
                began = time.monotonic()
                errors.append(await ask(narrow[number % 2], LIGHT, light, port=33434 + number))
                took_s.append(time.monotonic() - began)
            for task in busy:
                task.cancel()
    assert errors == [""] * len(errors)
    for of_one in (took_s[::2], took_s[1::2]):
        assert statistics.median(of_one) < 3, took_s  # a busy machine delays some of them
