"""Measurements over real programs: kept, followed while they run, cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cloudflare import Cloudflare
from eventually import until
from fleet import ACCOUNT, Fleet
from fleet.events import Follower
from fleet.fleet import NO_TLS

PATH = f"/accounts/{ACCOUNT}/diagnostics/traceroute"
WEB = "web.lab.example"
SLOW: dict[str, Any] = {"targets": [WEB, "198.18.30.90"], "options": {"wait_time": 5}}


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {fleet.token}"}
    async with httpx.AsyncClient(
        base_url=fleet.base_url, headers=headers, verify=NO_TLS, timeout=40
    ) as client:
        yield client


async def shown(client: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    response = await client.get(path, params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def begun(client: httpx.AsyncClient, **body: Any) -> str:
    """Begin a measurement that goes on by itself; its path."""
    response = await client.post(PATH, json=body, headers={"Prefer": "respond-async"})
    assert response.status_code == 202, response.text
    return response.headers["location"].removeprefix("/client/v4")


def test_sdk_sees_the_same_body_and_finds_its_measurement(fleet: Fleet) -> None:
    sdk = Cloudflare(base_url=fleet.base_url, api_token=fleet.token)
    raw = sdk.diagnostics.traceroutes.with_raw_response.create(
        account_id=ACCOUNT, targets=[WEB], colos=["den01"]
    )
    body = raw.http_response.json()
    assert list(body) == ["success", "errors", "messages", "result"]
    kept = httpx.get(
        fleet.url + raw.http_response.headers["location"],
        headers={"Authorization": f"Bearer {fleet.token}"},
        verify=NO_TLS,
    ).json()
    assert kept["result"] == body["result"]
    assert kept["messages"] == body["messages"]
    assert kept["result_info"]["status"] == "complete"
    assert kept["result_info"]["id"] == raw.http_response.headers["measurement-id"]


async def test_measurement_fills_while_it_is_followed(client: httpx.AsyncClient) -> None:
    """Hops come before the row that ends them; all events together are the final rows."""
    follower = Follower(client)
    body = {**SLOW, "colos": ["den01", "sin01"]}
    async with follower.events(PATH, method="POST", json=body) as events:
        names = [event.name async for event in events]
    assert (names[0], names[-1]) == ("start", "end")
    assert names.index("hops") < names.index("row")
    assert names.count("row") == 4
    summary = follower.state.end["measurement"]
    assert (summary["status"], summary["rows"]["finished"]) == ("complete", 4)
    final = (await shown(client, f"{PATH}/{summary['id']}"))["result"]
    for (target, colo), row in follower.state.rows.items():
        assert row == final[target]["colos"][colo]


async def test_late_follower_and_one_that_resumes_see_the_same(
    client: httpx.AsyncClient,
) -> None:
    path = await begun(client, **SLOW, colos=["den01", "sin01"])
    first, late = Follower(client), Follower(client)
    async with first.events(f"{path}/events") as events:
        async for event in events:
            if event.name == "hops":
                break
    assert first.state.end is None
    await asyncio.gather(first.all(f"{path}/events"), late.all(f"{path}/events"))
    assert first.state.end == late.state.end
    assert first.state.rows == late.state.rows
    assert len(late.state.rows) == 4


async def test_cancelled_measurement_keeps_what_there_is(client: httpx.AsyncClient) -> None:
    """And its followers are told."""
    path = await begun(client, **SLOW, colos=["den01"])
    follower = Follower(client)
    async with follower.events(f"{path}/events") as events:
        async for event in events:
            if event.name == "hops" and event.data["hops"]:
                break
        response = await client.delete(path)
        assert response.json()["result"]["status"] == "cancelled"
        async for _ in events:
            pass
    assert follower.state.end["measurement"]["status"] == "cancelled"
    body = await shown(client, path)
    assert body["result_info"]["status"] == "cancelled"
    errors = [row["colos"][0]["error"][-1:] for row in body["result"]]
    assert "2" in errors
    assert any(row["colos"][0]["hops"] for row in body["result"])
    removed = await client.delete(path)
    assert removed.status_code == 200
    assert (await client.get(path)).status_code == 404


async def test_running_measurement_is_polled_by_its_tag(client: httpx.AsyncClient) -> None:
    path = await begun(client, targets=[WEB], colos=["den01"])

    async def complete() -> bool:
        return (await shown(client, path))["result_info"]["status"] == "complete"

    await until(complete, within_s=20)
    response = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_rows_come_as_lines(client: httpx.AsyncClient) -> None:
    body = {"targets": [WEB], "colos": ["den01", "sin01"]}
    accept = {"Accept": "application/x-ndjson"}
    async with client.stream("POST", PATH, json=body, headers=accept) as response:
        rows = [json.loads(line) async for line in response.aiter_lines()]
    assert {row["row"]["colo"]["name"] for row in rows} == {"den01", "sin01"}
    assert all(row["row"]["hops"] for row in rows)


async def test_list_finds_measurements_by_what_was_asked(client: httpx.AsyncClient) -> None:
    target = "198.18.20.100"
    paths = [await begun(client, targets=[target], colos=["den01"]) for _ in range(3)]
    ids = [path.rpartition("/")[2] for path in paths]
    found: list[str] = []
    cursor = ""
    while True:
        query = {"target": target, "colo": "den", "per_page": 2}
        body = await shown(client, PATH, **query, **({"cursor": cursor} if cursor else {}))
        found += [each["id"] for each in body["result"]]
        cursor = body["result_info"].get("cursor", "")
        if not cursor or ids[0] in found:
            break
    assert [each for each in found if each in ids] == ids[::-1]
    none = await shown(client, PATH, target=target, colo="sin01", since="2026-01-01T00:00:00Z")
    assert not {each["id"] for each in none["result"]} & set(ids)


async def test_graph_and_difference_of_measurements(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post(PATH, json={"targets": [WEB], "colos": colos})
        for colos in (["den01", "sin01"], ["den01", "sin01"])
    ]
    first, second = (answer.headers["measurement-id"] for answer in answers)
    graph = (await shown(client, f"{PATH}/{first}/graph"))["result"]
    assert {node["name"] for node in graph["nodes"]} >= {"den01", "sin01"}
    assert all(edge["flows"] for edge in graph["edges"])
    diff = (await shown(client, f"{PATH}/{first}/diff/{second}"))["result"]
    assert diff["rows"] == 2
    assert diff["in_words"]


@pytest.mark.parametrize("multipath", [False, True])
async def test_replies_of_a_row_are_what_its_hops_count(
    client: httpx.AsyncClient, multipath: bool
) -> None:
    body = {"targets": [WEB], "colos": ["den01"], "options": {"multipath": multipath}}
    begun = await client.post(PATH, json=body)
    path = f"{PATH}/{begun.headers['measurement-id']}/rows"
    found = await shown(client, path, replies="true", per_page=1)
    pair = found["result"][0]
    nodes = {
        (hop["packets_ttl"], node["ip"]): node
        for hop in pair["row"]["hops"]
        for node in hop["nodes"]
        if node["packet_count"]
    }
    for (ttl, ip), node in nodes.items():
        rtts_ms = [r["rtt_ms"] for r in pair["replies"] if (r["ttl"], r["ip"]) == (ttl, ip)]
        assert len(rtts_ms) == node["packet_count"]
        assert (min(rtts_ms), max(rtts_ms)) == (node["min_rtt_ms"], node["max_rtt_ms"])
    assert len(pair["replies"]) == sum(node["packet_count"] for node in nodes.values())
    assert all(("flow" in reply) == multipath for reply in pair["replies"])


@pytest.mark.parametrize("name", ["csv", "text", "markdown", "mtr", "atlas", "scamper", "dot"])
async def test_answer_in_a_format(client: httpx.AsyncClient, name: str) -> None:
    response = await client.post(
        PATH, json={"targets": [WEB], "colos": ["den01"]}, params={"format": name}
    )
    assert response.status_code == 200
    kept = await client.get(
        response.headers["location"].removeprefix("/client/v4"), params={"format": name}
    )
    assert kept.text == response.text
