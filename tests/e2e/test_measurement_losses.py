"""Measurements while a program dies, and what the next one finds of them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from colotrace_coordinator.store.location import FILE_NAME
from eventually import until
from fleet import ACCOUNT, AgentSpec, Fleet
from fleet.events import Follower
from fleet.fleet import NO_TLS
from fleet.postgresql import postgresql_server
from lab import Lab

PATH = f"/accounts/{ACCOUNT}/diagnostics/traceroute"
WEB, DARK = "web.lab.example", "198.18.30.90"
SLOW: dict[str, Any] = {"targets": [WEB, DARK], "options": {"wait_time": 5}}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("pg"))])
def kept(lab: Lab, own_agents: list[AgentSpec], request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet of its own, with both databases."""
    if request.param == "sqlite":
        with Fleet(lab, agents=own_agents) as fleet:
            fleet.wait_attached()
            yield fleet
        return
    with postgresql_server() as url, Fleet(lab, agents=own_agents, database=url) as fleet:
        fleet.wait_attached()
        yield fleet


@asynccontextmanager
async def client_of(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=fleet.base_url, headers=fleet.headers(), verify=NO_TLS, timeout=40
    ) as client:
        yield client


async def begun(client: httpx.AsyncClient, body: dict[str, Any]) -> str:
    response = await client.post(PATH, json=body, headers={"Prefer": "respond-async"})
    assert response.status_code == 202, response.text
    return response.headers["location"].removeprefix("/client/v4")


async def test_killed_coordinator_keeps_what_it_answered(kept: Fleet) -> None:
    """What it had begun is partial, with the rows that had ended."""
    async with client_of(kept) as client:
        answered = await client.post(PATH, json={"targets": [WEB]})
        running = await begun(client, SLOW)

        async def one_row_ended() -> bool:
            info = (await client.get(running)).json()["result_info"]
            return info["rows"]["finished"] >= 1

        await until(one_row_ended, within_s=20)
        await asyncio.sleep(1.0)  # what is promised: all that was answered more than 1 s before
        kept.stop_coordinator(kill=True)
    kept.start_coordinator()
    async with client_of(kept) as client:
        found = await client.get(answered.headers["location"].removeprefix("/client/v4"))
        assert found.json()["result"] == answered.json()["result"]

        async def partial() -> bool:
            info = (await client.get(running)).json()["result_info"]
            return info["status"] == "partial"

        await until(partial, within_s=10)
        body = (await client.get(running)).json()
        rows = [row for target in body["result"] for row in target["colos"]]
        assert any(row["hops"] and not row["error"] for row in rows)
        assert any(row["error"].endswith("Code 2") for row in rows)
        # It can be followed like one that ended well.
        follower = Follower(client)
        await follower.all(f"{running}/events")
        assert follower.state.end["measurement"]["status"] == "partial"


async def test_agent_that_dies_while_it_is_watched(lab: Lab, own_agents: list[AgentSpec]) -> None:
    """Another agent traces its row anew, and watchers are told."""
    [den] = [spec for spec in own_agents if spec.colo == "den01"]
    with Fleet(lab, agents=[den]) as fleet:
        fleet.wait_attached()
        async with client_of(fleet) as client:
            path = await begun(client, {**SLOW, "targets": [DARK]})
            follower = Follower(client)
            async with follower.events(f"{path}/events") as events:
                async for event in events:
                    if event.name == "hops" and den.agent_id in fleet.agents:
                        second = AgentSpec(den.host, den.colo, den.city, "den01-z")
                        fleet.start_agent(second)
                        fleet.stop_agent(den.agent_id, kill=True)
            body = (await client.get(path)).json()
        [row] = body["result"][0]["colos"]
        assert row == follower.state.rows[0, 0]
        assert row["error"] == ""
        assert row["hops"]
        moved = [message["message"] for message in body["messages"]]
        assert any("den01-a" in words for words in moved), moved
        assert follower.state.end["measurement"]["status"] == "complete"


async def test_draining_coordinator_ends_its_streams(lab: Lab, own_agents: list[AgentSpec]) -> None:
    """The measurement that is followed ends first."""
    with Fleet(lab, agents=own_agents) as fleet:
        fleet.wait_attached()
        async with client_of(fleet) as client:
            path = await begun(client, {**SLOW, "colos": ["den01"]})
            follower = Follower(client)
            async with follower.events(f"{path}/events") as events:
                async for event in events:
                    if event.name == "start":
                        stopping = asyncio.create_task(asyncio.to_thread(fleet.stop_coordinator))
            await stopping
        assert follower.state.end["measurement"]["status"] == "complete"
        said = (fleet.directory / "coordinator.log").read_text().splitlines()
        assert json.loads(said[-1])["event"] == "stopped"


async def test_full_disk_costs_measurements_but_no_answers(
    lab: Lab, own_agents: list[AgentSpec]
) -> None:
    """It is said where operators look, and history goes on once there is room."""
    with Fleet(lab, agents=own_agents, disk_bytes=3 << 20) as fleet:
        fleet.wait_attached()
        async with client_of(fleet) as client:
            filling = fleet.disk / "filling"
            with filling.open("wb") as file, suppress(OSError):
                while file.write(bytes(1 << 16)):
                    file.flush()

            async def told() -> bool:
                answered = await client.post(PATH, json={"targets": [WEB]})
                assert answered.status_code == 200
                ready = (await client.get(f"{fleet.url}/readyz")).json()["result"]
                return "no space" in ready.get("detail", "")

            await until(told, within_s=30)
            waiting = await client.post(PATH, json={"targets": [WEB]})
            assert waiting.status_code == 200
            path = waiting.headers["location"].removeprefix("/client/v4")
            assert (await client.get(path)).json()["result"] == waiting.json()["result"]
            metrics = (await client.get(f"{fleet.url}/metrics")).text
            assert "colotrace_history_failures_total 0.0" not in metrics
            filling.unlink()

            async def written() -> bool:
                metrics = (await client.get(f"{fleet.url}/metrics")).text
                return "colotrace_history_waiting 0.0" in metrics

            await until(written, within_s=30)
            assert (await client.get(path)).status_code == 200


def size_of(file: Path) -> int:
    """Of an SQLite database, with what is in its log."""
    with closing(sqlite3.connect(file)) as database:
        pages, size = (
            database.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "page_size")
        )
    return pages * size


async def test_oldest_measurements_make_room_for_new_ones(
    lab: Lab, own_agents: list[AgentSpec]
) -> None:
    most = 1 << 20
    flags = ("--keep-bytes", str(most))
    targets = [f"198.18.20.{n}" for n in (*range(1, 10), 100)]
    with Fleet(lab, agents=own_agents, coordinator_flags=flags) as fleet:
        fleet.wait_attached()
        async with client_of(fleet) as client:
            first = await client.post(PATH, json={"targets": [WEB]})
            path = first.headers["location"].removeprefix("/client/v4")
            body = {"targets": targets, "options": {"packets_per_ttl": 10}}
            while size_of(fleet.directory / FILE_NAME) <= most:
                await asyncio.gather(*(client.post(PATH, json=body) for _ in range(20)))
                last = await client.post(PATH, json=body)

            async def gone() -> bool:
                return (await client.get(path)).status_code == 404

            await until(gone, within_s=60)
            newest = (await client.get(PATH, params={"per_page": 1})).json()["result"]
            assert [each["id"] for each in newest] == [last.headers["measurement-id"]]
