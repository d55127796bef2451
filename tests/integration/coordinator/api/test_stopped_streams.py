"""When streams end: by their server, their feed or their client."""

import asyncio
import gc
from collections.abc import Callable

import httpx
import pytest
from colotrace_coordinator.api.errors import describe
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.api.streams import Streams
from colotrace_coordinator.errors import StoppingError
from colotrace_coordinator.live.feed import Feed, Kind
from eventually import until
from fleet.events import events_of
from integration.coordinator.api.watched import Bed, names
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from unit.coordinator.api.conftest import BEARER, PATH
from unit.coordinator.api.test_measurements import kept
from unit.coordinator.remembered import RememberedHistory


async def test_stopped_streams_end_without_the_event_end(bed: Bed) -> None:
    bed.feed.put(Kind.START, b"{}")
    following = asyncio.create_task(bed.follower().all(f"{bed.url}/events"))
    await until(lambda: bed.watchers() == 1)
    bed.streams.stop()
    assert names(await following) == ["start"]


async def test_stopped_rows_are_an_incomplete_answer(bed: Bed) -> None:
    """Lines alone do not tell whether they are all."""
    bed.put_row(0)
    following = asyncio.create_task(bed.client.get(f"{bed.url}/rows"))
    await until(lambda: bed.watchers("rows") == 1)
    bed.streams.stop()
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        await following


async def test_feed_that_is_closed_leaves_its_clients_without_an_end(bed: Bed) -> None:
    """Another coordinator runs the measurement, and is silent: they are to ask again."""
    bed.put_row(0)
    both = [asyncio.create_task(bed.client.get(f"{bed.url}/{path}")) for path in ("events", "rows")]
    await until(lambda: bed.watchers() + bed.watchers("rows") == 2)
    bed.feed.close()
    events, rows = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(events, httpx.Response)
    assert names(events_of(events.content)) == ["row"]
    assert isinstance(rows, httpx.RemoteProtocolError)
    again = await bed.client.get(f"{bed.url}/events", headers={"last-event-id": "1"})
    assert again.status_code == 200


async def test_stopped_streams_take_no_new_client(bed: Bed) -> None:
    bed.streams.stop()
    answer = await bed.client.get(f"{bed.url}/events")
    assert answer.status_code == describe(StoppingError(), path="").status == 503


async def test_server_stops_once_its_streams_have(bed: Bed) -> None:
    async with Bed().run() as other:
        following = asyncio.create_task(other.follower().all(f"{other.url}/events"))
        await until(lambda: other.watchers() == 1)
        other.server.stop()
        assert not following.done()
        other.streams.stop()
        await following


async def test_client_that_goes_ends_its_stream(bed: Bed) -> None:
    before = {task.get_name() for task in asyncio.all_tasks()}
    bed.feed.put(Kind.START, b"{}")
    several = [await bed.connect(path) for path in ("/events", "/rows") * 5]
    await until(lambda: (bed.watchers(), bed.watchers("rows")) == (5, 5))
    for sock in several:
        sock.close()
    await until(lambda: bed.watchers() + bed.watchers("rows") == 0)
    await until(lambda: "client-watch" not in {task.get_name() for task in asyncio.all_tasks()})
    assert {task.get_name() for task in asyncio.all_tasks()} <= before | {"memory"}
    bed.feed.put(Kind.END, b"{}")


async def test_watched_feed_is_freed_with_its_last_reader(bed: Bed) -> None:
    sock = await bed.connect("/events")
    await until(lambda: bed.watchers() == 1)
    sock.close()
    await until(lambda: bed.watchers() == 0)
    bed.feed = Feed()
    gc.collect()
    assert [found for found in gc.get_objects() if type(found) is Feed] == [bed.feed]


async def test_streams_of_the_application_are_those_that_it_was_given(
    make_app: Callable[..., Starlette], history: RememberedHistory
) -> None:
    """They are stopped from outside, and new clients are refused then."""
    streams = Streams(metrics=HttpMetrics(CollectorRegistry()))
    summary = kept(history)
    transport = httpx.ASGITransport(make_app(streams=streams))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        url = f"{PATH}/{summary.id}/events"
        assert (await client.get(url, headers=BEARER)).status_code == 200
        streams.stop()
        assert (await client.get(url, headers=BEARER)).status_code == 503
