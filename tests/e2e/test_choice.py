"""Colos that a request selects, and its address family: with real agents and resolvers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from fleet import ACCOUNT, AgentSpec, Broker, Fleet
from fleet.alone import command, read
from fleet.asking import ask, until
from fleet.fleet import NO_TLS, default_agents, two_coordinators
from lab import Lab

BOTH_LINKS = pytest.mark.parametrize(
    "own_fleet",
    ["direct", pytest.param("mqtt", marks=pytest.mark.xdist_group("mqtt"))],
    indirect=True,
)


@pytest.fixture
def own_agents(lab: Lab) -> list[AgentSpec]:
    """Agents of two colos that have tags, and one of a colo without."""
    tags = {"den01": ("provider=X", "rack=7"), "fra01": ("provider=x",), "sin01": ()}
    return [
        AgentSpec(
            spec.host,
            spec.colo,
            spec.city,
            spec.agent_id,
            tags=tags[spec.colo],
            location="" if spec.colo == "sin01" else spec.location,
        )
        for spec in default_agents(lab)
        if spec.colo in tags
    ]


async def rows(fleet: Fleet, target: str, *colos: str, **options: Any) -> dict[str, Any]:
    """The rows of one target by colo, with the messages about them."""
    answer = await ask(fleet, {"targets": [target], "colos": list(colos), "options": options})
    assert answer["success"], answer["errors"]
    (row,) = answer["result"]
    messages = [each["message"] for each in answer["messages"]]
    return {colo["colo"]["name"]: colo | {"messages": messages} for colo in row["colos"]}


@pytest.mark.parametrize(
    ("colos", "expected"),
    [
        (["country:de"], {"fra01"}),
        (["den", "fra", "country:US", "city:Denver"], {"den01", "den02"}),
        (["den02", "sin", "country:US"], {"den02"}),
    ],
)
async def test_selected_colos_are_traced(
    fleet: Fleet, colos: list[str], expected: set[str]
) -> None:
    found = await rows(fleet, fleet.lab.address("web"), *colos)
    assert set(found) == expected
    assert all(row["error"] == "" for row in found.values())


async def test_limit_takes_one_colo_of_each_country_first(fleet: Fleet) -> None:
    found = await rows(fleet, fleet.lab.address("web"), "limit:3")
    assert len({row["colo"]["city"].rpartition(", ")[2] for row in found.values()}) == 3


@pytest.mark.parametrize("family", [4, 6])
async def test_dual_stack_name_is_traced_by_the_family_asked_for(fleet: Fleet, family: int) -> None:
    found = await rows(fleet, "web.lab.example", "den01", "fra01", family=family)
    for row in found.values():
        assert row["error"] == ""
        assert row["target_summary"]["ip"] == fleet.lab.address("web", family=family)
        assert row["target_summary"]["packet_count"] > 0


@pytest.mark.parametrize(("name", "family"), [("v4only", 6), ("v6only", 4)])
async def test_name_without_the_family_is_an_error_of_its_row(
    fleet: Fleet, name: str, family: int
) -> None:
    (row,) = (await rows(fleet, f"{name}.lab.example", "den01", family=family)).values()
    assert row["error"].endswith("Code 3")
    (message,) = row["messages"]
    assert message.endswith(f"{name}.lab.example does not resolve: it has no IPv{family} address")


async def agents(fleet: Fleet) -> dict[str, Any]:
    """The attached agents by id."""
    async with httpx.AsyncClient(headers=fleet.headers(), verify=NO_TLS) as client:
        answer = (await client.get(f"{fleet.path()}/agents")).json()
    return {agent["id"]: agent for agent in answer["result"]}


@BOTH_LINKS
async def test_tags_select_colos_and_outlive_the_coordinator(own_fleet: Fleet) -> None:
    """A restarted coordinator knows them before its agents are back; rows wait for these."""
    web = own_fleet.lab.address("web")
    assert set(await rows(own_fleet, web, "tag:provider=x")) == {"den01", "fra01"}
    assert set(await rows(own_fleet, web, "tag:provider=x", "tag:rack=7")) == {"den01"}
    assert set(await rows(own_fleet, web, "sin", "den", "tag:provider=x")) == {"den01"}
    found = await agents(own_fleet)
    assert found["den01-a"]["tags"] == {"provider": "X", "rack": "7"}
    assert found["sin01-a"]["tags"] == {}
    await asyncio.to_thread(own_fleet.stop_coordinator)
    await asyncio.to_thread(own_fleet.start_coordinator)
    found = await rows(own_fleet, web, "tag:provider=x")
    assert {name: row["error"] for name, row in found.items()} == {"den01": "", "fra01": ""}


@BOTH_LINKS
async def test_agents_and_colos_are_listed_with_the_location_that_agents_tell(
    own_fleet: Fleet,
) -> None:
    """A colo keeps it when its last agent leaves."""
    told = {"den01": [39.74, -104.99], "fra01": [50.11, 8.68], "sin01": None}
    found = await agents(own_fleet)
    assert {agent["colo"]: agent["location"] for agent in found.values()} == told
    await asyncio.to_thread(own_fleet.stop_agent, "den01-a")
    assert "den01-a" not in await agents(own_fleet)
    for words in ("colos", "agents"):
        env = {
            "COLOTRACE_URL": own_fleet.base_url,
            "COLOTRACE_TOKEN": own_fleet.token,
            "COLOTRACE_ACCOUNT": ACCOUNT,
        }
        done = await asyncio.to_thread(
            subprocess.run,
            [Path(sys.executable).parent / "colotrace", words, "--json"],
            env=os.environ | env,
            capture_output=True,
            check=True,
        )
        listed = json.loads(done.stdout)["result"]
        shown = {each.get("colo", each.get("name")): each["location"] for each in listed}
        left = told if words == "colos" else {"fra01": [50.11, 8.68], "sin01": None}
        assert shown == left


@BOTH_LINKS
async def test_agent_that_was_killed_is_listed_with_its_trouble(own_fleet: Fleet) -> None:
    """Once it is back. An agent that was stopped has none."""
    specs = {spec.agent_id: spec for spec in own_fleet.specs}
    for agent_id, kill in (("den01-a", True), ("fra01-a", False)):
        before = (await agents(own_fleet))[agent_id]
        assert before["last_trouble"] is None
        await asyncio.to_thread(own_fleet.stop_agent, agent_id, kill=kill)

        async def gone(agent_id: str = agent_id) -> bool:
            return agent_id not in await agents(own_fleet)

        await until(gone, within_s=15)
        own_fleet.start_agent(specs[agent_id])

        async def back(agent_id: str = agent_id) -> bool:
            return agent_id in await agents(own_fleet)

        await until(back, within_s=15)
        after = (await agents(own_fleet))[agent_id]
        assert after["attached_since"] > before["attached_since"]
        assert bool(after["last_trouble"]) is kill
    trouble = (await agents(own_fleet))["den01-a"]["last_trouble"]
    assert "the connection broke" in trouble or "the broker announced that it had gone" in trouble


@pytest.mark.xdist_group("mqtt")
async def test_each_coordinator_at_a_broker_lists_all_agents(
    lab: Lab, broker: Broker, own_agents: list[AgentSpec]
) -> None:
    """And selects by their tags."""
    with two_coordinators(lab, broker, agents=own_agents) as both:
        for fleet in both:
            found = await agents(fleet)
            assert {name: agent["tags"] for name, agent in found.items()} == {
                "den01-a": {"provider": "X", "rack": "7"},
                "fra01-a": {"provider": "x"},
                "sin01-a": {},
            }
            selected = await rows(fleet, lab.address("web"), "tag:provider=x", "country:DE")
            assert set(selected) == {"fra01"}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("from_file", [False, True])
async def test_agents_own_trace_uses_one_family(
    lab: Lab, tmp_path: Path, family: int, *, from_file: bool
) -> None:
    """For targets of the command line and for those of a file."""
    other = 10 - family
    name, lacking = "web.lab.example", f"v{other}only.lab.example"
    address = lab.address("web", family=other)
    targets = [name, lacking, address]
    words = [f"-{family}", *targets]
    if from_file:
        file = tmp_path / "targets"
        file.write_text("\n".join(targets))
        words = [f"-{family}", "--targets-file", str(file)]
    done = await asyncio.to_thread(lab.run_forked, "den01", command(*words), timeout_s=60)
    told = read(done)
    assert told.rows[name]["target_summary"]["ip"] == lab.address("web", family=family)
    for target, reason in (
        (lacking, f"{lacking} does not resolve: it has no IPv{family} address"),
        (address, f"{address} is not an IPv{family} address"),
    ):
        assert told.rows[target]["error"].endswith("Code 3")
        assert reason in told.notes
    assert told.status == 1
