"""Coordinators behind the load balancer of deploy/, restarted one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from fleet import AgentSpec, Broker, Fleet
from fleet.fleet import two_coordinators
from fleet.proxy import Proxy, missing
from fleet.steady import EVERY_S, Load
from lab import Lab
from needs import need

AGENTS = [
    AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a"),
    AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a"),
]
FLAGS = ("--stop-delay", "5", "--requests-per-5-minutes", "100000")


@pytest.fixture
def coordinators(lab: Lab, broker: Broker) -> Iterator[list[Fleet]]:
    """Two, with the same agents."""
    need(missing())
    with two_coordinators(lab, broker, agents=AGENTS, coordinator_flags=FLAGS) as both:
        yield both


async def test_rolling_restart_fails_no_request(lab: Lab, coordinators: list[Fleet]) -> None:
    """Every coordinator is restarted while requests arrive. None fails, and no row is missing."""
    with Proxy(lab, *(each.url.removeprefix("http://") for each in coordinators)) as proxy:
        load, over = Load(lab, proxy.url, coordinators[0].token), asyncio.Event()
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
