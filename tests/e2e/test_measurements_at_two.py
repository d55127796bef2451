"""Measurements of one coordinator at another one, with real programs and a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from fleet import AgentSpec, Broker, Fleet
from fleet.asking import metric, slow, until
from fleet.events import Event, Follower
from fleet.fleet import NO_TLS, two_coordinators
from fleet.postgresql import postgresql_server
from lab import Lab

AGENTS = [
    AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a"),
    AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a"),
]
_PARTIAL_WITHIN_S = 10.0
"""So long after its coordinator died, a measurement is told as partial."""


@pytest.fixture
async def client(coordinators: list[Fleet]) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(coordinators[0]) as client:
        for each in coordinators:
            await _until_they_know_each_other(each)
        yield client


@asynccontextmanager
async def _client(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=fleet.headers(), timeout=30, verify=NO_TLS) as client:
        yield client


async def _until_they_know_each_other(fleet: Fleet) -> None:
    async def know() -> bool:
        return await metric(fleet, "colotrace_coordinators") == 2

    await until(know, within_s=5)


def _body(lab: Lab, **options: Any) -> dict[str, Any]:
    """Two rows that end at once, and two that take 5 s."""
    return slow(lab, **options) | {"targets": [lab.address("web"), lab.address("dark")]}


async def _begin(client: httpx.AsyncClient, fleet: Fleet, body: dict[str, Any]) -> str:
    """Begin a measurement; its id."""
    answer = await client.post(fleet.path(), json=body, headers={"prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    measurement_id: str = answer.headers["measurement-id"]
    return measurement_id


async def _get(client: httpx.AsyncClient, fleet: Fleet, measurement_id: str) -> dict[str, Any]:
    answer = await client.get(f"{fleet.path()}/{measurement_id}")
    assert answer.status_code == 200, answer.text
    envelope: dict[str, Any] = answer.json()
    return envelope


def _events(fleet: Fleet, measurement_id: str) -> str:
    return f"{fleet.path()}/{measurement_id}/events"


def _numbers(events: list[Event]) -> list[int]:
    return [event.number for event in events if event.number is not None]


async def test_both_list_and_show_a_measurement_of_one(
    lab: Lab, coordinators: list[Fleet], client: httpx.AsyncClient
) -> None:
    """With the same answer, once it is written."""
    one, other = coordinators
    body = {"targets": [lab.address("web")], "colos": ["den01"]}
    posted = await client.post(one.path(), json=body)
    measurement_id = posted.headers["measurement-id"]

    async def listed() -> bool:
        """As ended: its beginning may have been written before."""
        listed = (await client.get(other.path())).json()["result"]
        return (measurement_id, "complete") in [(each["id"], each["status"]) for each in listed]

    await until(listed, within_s=1)
    shown = await _get(client, other, measurement_id)
    assert shown["result"] == posted.json()["result"]
    assert shown["result_info"]["status"] == "complete"
    assert shown["result_info"] == (await _get(client, one, measurement_id))["result_info"]


async def test_measurement_that_has_just_begun_is_shown_at_the_other(
    lab: Lab, coordinators: list[Fleet], client: httpx.AsyncClient
) -> None:
    """Though the database does not have it yet. One that never was is not found."""
    one, other = coordinators
    measurement_id = await _begin(client, one, _body(lab))
    shown = await _get(client, other, measurement_id)
    assert shown["result_info"]["status"] == "running"
    for path in ("", "/events"):
        answer = await client.get(f"{other.path()}/{'0' * 12}{measurement_id[12:]}{path}")
        assert answer.status_code == 404
    deleted = await client.delete(f"{other.path()}/{measurement_id}")
    assert deleted.json()["result"]["status"] == "cancelled"


async def test_running_measurement_is_followed_at_the_other(
    lab: Lab, coordinators: list[Fleet], client: httpx.AsyncClient
) -> None:
    """By one from the beginning and one that joins late: all have the same events in the end."""
    one, other = coordinators
    measurement_id = await _begin(client, one, _body(lab))
    followers = [Follower(client) for _ in range(3)]
    tasks = [
        asyncio.create_task(follower.all(_events(fleet, measurement_id)))
        for follower, fleet in zip(followers, (one, other), strict=False)
    ]

    async def two_rows() -> bool:
        return len(followers[1].state.rows) >= 2

    await until(two_rows, within_s=3)
    assert followers[1].state.end is None
    running = await _get(client, other, measurement_id)
    assert running["result_info"]["status"] == "running"
    late = await followers[2].all(_events(other, measurement_id))
    here, there = await asyncio.gather(*tasks)
    assert [each.state.end["measurement"]["status"] for each in followers] == ["complete"] * 3
    assert followers[0].state == followers[1].state == followers[2].state
    assert here[-1] == there[-1] == late[-1]
    numbers = {event.number: event for event in here}
    same = [event for event in there if event.number in numbers]
    assert len(same) > len(there) / 2
    # What was replaced before it was read there has fewer hops.
    assert [e for e in same if e.name != "hops"] == [
        numbers[e.number] for e in same if e.name != "hops"
    ]
    assert await metric(one, "colotrace_relay_dropped_total") == 0


async def test_client_resumes_at_the_other(
    lab: Lab, coordinators: list[Fleet], client: httpx.AsyncClient
) -> None:
    """Forth and back: it misses nothing, and gets nothing twice."""
    one, other = coordinators
    measurement_id = await _begin(client, one, _body(lab))
    follower, whole = Follower(client), Follower(client)
    watching = asyncio.create_task(whole.all(_events(other, measurement_id)))
    heard: list[Event] = []
    for fleet in (one, other, one, other):
        async with follower.events(_events(fleet, measurement_id)) as events:
            heard.append(await anext(events))
    heard += await follower.all(_events(one, measurement_id))
    await watching
    numbers = _numbers(heard)
    assert numbers == sorted(set(numbers))
    assert [event.name for event in heard].count("start") == 1
    assert follower.state == whole.state


async def test_measurement_is_cancelled_at_the_other(
    lab: Lab, coordinators: list[Fleet], client: httpx.AsyncClient
) -> None:
    """It keeps the rows that it has, and ends the streams at both."""
    one, other = coordinators
    measurement_id = await _begin(client, one, _body(lab, multipath=True))
    followers = [Follower(client), Follower(client)]
    tasks = [
        asyncio.create_task(follower.all(_events(fleet, measurement_id)))
        for follower, fleet in zip(followers, coordinators, strict=True)
    ]

    async def two_rows() -> bool:
        return len(followers[1].state.rows) == 2

    await until(two_rows, within_s=3)
    began = time.monotonic()
    deleted = await client.delete(f"{other.path()}/{measurement_id}", params={"if": "running"})
    assert deleted.status_code == 200, deleted.text
    assert deleted.json()["result"]["status"] == "cancelled"
    await asyncio.gather(*tasks)
    assert time.monotonic() - began < 5  # its rows would take 10 s
    assert [each.state.end["measurement"]["status"] for each in followers] == ["cancelled"] * 2
    for each in coordinators:
        assert (await _get(client, each, measurement_id))["result_info"]["status"] == "cancelled"
    removed = await client.delete(f"{other.path()}/{measurement_id}")
    assert removed.status_code == 200
    assert (await client.get(f"{one.path()}/{measurement_id}")).status_code == 404


async def test_measurement_of_another_account_does_not_exist(
    lab: Lab, coordinators: list[Fleet], client: httpx.AsyncClient
) -> None:
    one, other = coordinators
    token = one.command("token", "create", "--account", "another").strip()
    measurement_id = await _begin(client, one, _body(lab))
    base = f"{other.path('another')}/{measurement_id}"
    headers = {"authorization": f"Bearer {token}"}
    for method, url in (("GET", base), ("GET", f"{base}/events"), ("DELETE", base)):
        answer = await client.request(method, url, headers=headers)
        assert answer.status_code == 404, url
    kept = await _get(client, one, measurement_id)
    assert kept["result_info"]["status"] in ("running", "complete")  # and not cancelled
    assert (await client.delete(f"{one.path()}/{measurement_id}")).status_code == 200


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("pg"))])
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of each kind of database; None is a file."""
    with ExitStack() as stack:
        yield stack.enter_context(postgresql_server()) if request.param != "sqlite" else None


async def test_killed_coordinator_ends_the_stream_at_the_other(
    lab: Lab, broker: Broker, database: str | None
) -> None:
    """Without the event `end`. A client that reconnects is told that it is partial, with the rows
    that were there."""
    with two_coordinators(lab, broker, agents=AGENTS, database=database) as (one, other):
        async with _client(one) as client:
            for each in (one, other):
                await _until_they_know_each_other(each)
            measurement_id = await _begin(client, one, _body(lab, multipath=True))
            follower = Follower(client)
            url = _events(other, measurement_id)
            watching = asyncio.create_task(follower.all(url))

            async def written() -> bool:
                shown = await _get(client, other, measurement_id)
                return shown["result_info"]["rows"]["finished"] >= 1

            await until(written, within_s=5)
            assert not watching.done()
            one.stop_coordinator(kill=True)
            died = time.monotonic()
            events = await watching
            assert "end" not in [event.name for event in events]
            reconnected = 0
            while follower.state.end is None:
                reconnected += 1
                await asyncio.sleep((follower.reader.retry_ms or 0) / 1e3)
                await follower.all(url)
            assert time.monotonic() - died < _PARTIAL_WITHIN_S
            assert follower.state.end["measurement"]["status"] == "partial"
            shown = await _get(client, other, measurement_id)
            assert shown["result_info"]["status"] == "partial"
            finished = shown["result_info"]["rows"]["finished"]
            assert 1 <= finished == len(follower.state.rows)


async def test_coordinator_that_stops_ends_its_measurements_for_all(
    lab: Lab, broker: Broker
) -> None:
    """It passes their events on until then."""
    with two_coordinators(lab, broker, agents=AGENTS) as (one, other):
        async with _client(one) as client:
            for each in (one, other):
                await _until_they_know_each_other(each)
            measurement_id = await _begin(client, one, _body(lab))
            follower = Follower(client)
            async with follower.events(_events(other, measurement_id)) as events:
                await anext(events)
                stopping = asyncio.create_task(asyncio.to_thread(one.stop_coordinator))
                async for _ in events:
                    pass
            await stopping
            assert follower.state.end["measurement"]["status"] == "complete"
            assert len(follower.state.rows) == 4
