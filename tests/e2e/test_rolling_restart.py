"""Coordinators behind the load balancer of deploy/, restarted one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fleet import AgentSpec, Broker, Fleet
from fleet.asking import slow
from fleet.fleet import ACCOUNT, NO_TLS, two_coordinators
from fleet.judge import row_faults
from fleet.proxy import Proxy, missing
from lab import Lab
from needs import need

AGENTS = [
    AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a"),
    AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a"),
]
EVERY_S = 0.1
FLAGS = ("--stop-delay", "5", "--requests-per-5-minutes", "100000")


@pytest.fixture
def coordinators(lab: Lab, broker: Broker) -> Iterator[list[Fleet]]:
    """Two, with the same agents."""
    need(missing())
    with two_coordinators(lab, broker, agents=AGENTS, coordinator_flags=FLAGS) as both:
        yield both


class Load:
    """Requests that begin every `EVERY_S`, whether or not earlier ones were answered. Every tenth
    takes 5 s. Connections are kept and used again."""

    def __init__(self, lab: Lab, proxy: Proxy, token: str) -> None:
        self._lab = lab
        self._path = f"{proxy.url}/accounts/{ACCOUNT}/diagnostics/traceroute"
        self._token = token
        self.asked = 0
        self.faults: list[Any] = []

    async def run(self, until: asyncio.Event) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=40, verify=NO_TLS) as client,
            asyncio.TaskGroup() as tasks,
        ):
            while not until.is_set():
                tasks.create_task(self._ask(client, self.asked))
                self.asked += 1
                await asyncio.sleep(EVERY_S)

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        colo = ("den01", "fra01")[number % 2]
        target, body = "web", {"targets": [self._lab.address("web")], "colos": [colo]}
        body["options"] = {"max_ttl": 12 + number % 7}  # identical requests would share a job
        if number % 10 == 0:
            target, body = "dark", slow(self._lab, colo)
        try:
            answer = await client.post(self._path, json=body)
        except httpx.HTTPError as error:
            self.faults.append((number, repr(error)))
            return
        if answer.status_code != 200:
            self.faults.append((number, answer.status_code, answer.text))
            return
        (row,) = answer.json()["result"][0]["colos"]
        if row["error"]:
            self.faults.append((number, row["error"], answer.json()["messages"]))
        elif target == "web":
            self.faults += row_faults(self._lab, row, target=target)


async def test_rolling_restart_fails_no_request(lab: Lab, coordinators: list[Fleet]) -> None:
    """Every coordinator is restarted while requests arrive. None fails, and no row is missing."""
    with Proxy(lab, *(each.url.removeprefix("http://") for each in coordinators)) as proxy:
        load, over = Load(lab, proxy, coordinators[0].token), asyncio.Event()
        loading = asyncio.create_task(load.run(over))
        await asyncio.sleep(2)
        for each in coordinators:
            await asyncio.to_thread(each.stop_coordinator)
            assert await asyncio.to_thread(proxy.ready) == 1
            await asyncio.to_thread(each.start_coordinator)
            await asyncio.to_thread(proxy.wait_ready, 2)
        await asyncio.sleep(2)
        over.set()
        await loading
    assert load.faults == []
    assert load.asked > 10 / EVERY_S
