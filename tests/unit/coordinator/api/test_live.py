"""Measurements that are followed: by POST itself, and by their events."""

import json

import httpx
import pytest
from unit.coordinator.api.conftest import BEARER, PATH
from unit.coordinator.api.test_measurements import kept
from unit.coordinator.remembered import RememberedHistory


async def test_ended_measurement_is_streamed_and_the_stream_ends(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    response = await client.get(f"{PATH}/{summary.id}/events", headers=BEARER)
    assert response.headers["content-type"].startswith("text/event-stream")
    named = [line for line in response.text.splitlines() if line.startswith("event: ")]
    assert named == ["event: start", *["event: row"] * 2, *["event: message"] * 2, "event: end"]


async def test_rows_of_an_ended_measurement_are_lines(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    accept = {**BEARER, "Accept": "application/x-ndjson"}
    response = await client.get(f"{PATH}/{summary.id}/events", headers=accept)
    assert response.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in response.text.splitlines()]
    assert [row["row"]["colo"]["name"] for row in rows] == ["den01", "sin01"]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("text", "text/plain; charset=utf-8"),
        ("markdown", "text/markdown; charset=utf-8"),
        ("mtr", "application/x-ndjson; format=mtr"),
        ("atlas", "application/x-ndjson; format=atlas"),
        ("scamper", "application/x-ndjson; format=scamper"),
        ("dot", "text/vnd.graphviz; charset=utf-8"),
    ],
)
async def test_measurement_in_a_format(
    client: httpx.AsyncClient, history: RememberedHistory, name: str, content_type: str
) -> None:
    """By the parameter, and by Accept."""
    summary = kept(history)
    path = f"{PATH}/{summary.id}"
    by_name = await client.get(path, headers=BEARER, params={"format": name})
    assert (by_name.status_code, by_name.headers["content-type"]) == (200, content_type)
    assert "192.0.2.7" in by_name.text
    by_accept = await client.get(path, headers={**BEARER, "Accept": content_type})
    assert by_accept.content == by_name.content
    plain = await client.get(path, headers=BEARER)
    assert plain.headers["etag"] != by_name.headers["etag"]


async def test_json_wins_unless_the_client_excludes_it(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    for accept in ("application/json, text/plain, */*", "text/csv, */*;q=0.1"):
        response = await client.get(f"{PATH}/{summary.id}", headers={**BEARER, "Accept": accept})
        assert response.headers["content-type"] == "application/json"


async def test_measurement_is_no_stream(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    """Its events are at another path. Caches are told that its form depends on Accept."""
    summary = kept(history)
    live = {**BEARER, "Accept": "text/event-stream"}
    assert (await client.get(f"{PATH}/{summary.id}", headers=live)).status_code == 406
    shown = await client.get(f"{PATH}/{summary.id}", headers=BEARER)
    assert shown.headers["vary"] == "Accept"


async def test_unknown_format_is_refused_before_measuring(client: httpx.AsyncClient) -> None:
    body = {"targets": ["192.0.2.1"]}
    unknown = await client.post(PATH, json=body, headers=BEARER, params={"format": "xml"})
    assert unknown.status_code == 400
    assert unknown.json()["errors"][0]["message"].startswith("format must be one of json, csv")
    image = await client.post(PATH, json=body, headers={**BEARER, "Accept": "image/png"})
    assert image.status_code == 406
    assert image.json()["errors"][0]["code"] == 1024


async def test_answer_of_a_post_in_a_format(client: httpx.AsyncClient) -> None:
    response = await client.post(
        PATH, json={"targets": ["192.0.2.1"]}, headers=BEARER, params={"format": "csv"}
    )
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert "measurement-id" in response.headers
