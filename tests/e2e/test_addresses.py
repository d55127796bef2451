"""Addresses added and removed while agents are attached."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fleet import AgentSpec, Broker, Fleet
from fleet.asking import ask
from lab import Lab, plan
from lab.uplinks import ip

COLO = "den01"


@pytest.fixture(params=["direct", pytest.param("mqtt", marks=pytest.mark.xdist_group("mqtt"))])
def late(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """An agent whose host had no IPv6 address at its start, in its own lab (`lab` skips if no lab
    can be built)."""
    with ExitStack() as stack:
        built = stack.enter_context(Lab(among=(COLO, "web")))
        ip(built, COLO, f"address del {built.address(COLO, family=6)}/128 dev eth0")
        broker = stack.enter_context(Broker(built)) if request.param == "mqtt" else None
        spec = AgentSpec(host=COLO, colo=COLO, city="Denver, CO, US", agent_id="den01-a")
        running = stack.enter_context(Fleet(built, agents=[spec], broker=broker))
        running.wait_attached()
        yield running


async def row(fleet: Fleet, packets: int) -> dict[str, Any]:
    """The row of a trace over IPv6; `packets` differs each time, so that no answer is shared."""
    web = fleet.lab.address("web", family=6)
    options = {"packets_per_ttl": packets}
    answer = await ask(fleet, {"targets": [web], "colos": [COLO], "options": options})
    (found,) = answer["result"][0]["colos"]
    assert isinstance(found, dict)
    return found


async def test_family_is_used_while_its_address_exists(late: Fleet) -> None:
    """Without a restart and without a new stream; the removal is reported, too."""
    lab = late.lab
    own = lab.address(COLO, family=6)
    await asyncio.to_thread(late.wait_families, "ipv4")
    assert (await row(late, 1))["error"].endswith("Code 3")

    shown = lab.run(COLO, ["ip", "-6", "route", "show", "default"]).stdout
    ip(lab, COLO, f"address add {own}/128 dev eth0 nodad")
    if not shown:  # the kernel dropped the route with this source address
        ip(
            lab,
            COLO,
            *(line for line in plan.node_lines(COLO) if line.startswith("route add ::/0")),
        )
    await asyncio.to_thread(late.wait_families, "ipv4", "ipv6")
    found = await row(late, 2)
    assert found["error"] == ""
    assert [node["ip"] for node in found["hops"][-1]["nodes"]] == [lab.address("web", family=6)]

    ip(lab, COLO, f"address del {own}/128 dev eth0")
    await asyncio.to_thread(late.wait_families, "ipv4")
    assert (await row(late, 3))["error"].endswith("Code 3")
    if late.broker is None:
        assert late.agent_log("den01-a").read_text().count('"event": "attached"') == 1
