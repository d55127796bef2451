"""Streams over sockets: what clients read."""

import asyncio
import json

import pytest
from colotrace_coordinator.api.http.connection import Deadlines
from colotrace_coordinator.api.http.server import Limits
from colotrace_coordinator.live.feed import ENDED, Kind
from eventually import until
from fleet.events import events_of
from integration.coordinator.api.watched import Bed, names


async def test_late_joiner_gets_the_state_first_then_what_comes(bed: Bed) -> None:
    bed.feed.put(Kind.START, b'{"rows":2}')
    bed.put_row(0)
    follower = bed.follower()
    async with (
        bed.follower().events(f"{bed.url}/events"),
        follower.events(f"{bed.url}/events") as events,
    ):
        assert [(await anext(events)).name for _ in range(2)] == ["start", "row"]
        bed.put_hops(1, 1, "r1")
        assert (await anext(events)).name == "hops"
        bed.put_row(1)
        bed.feed.put(Kind.END, b"{}")
        assert names([event async for event in events]) == ["row", "end"]


async def test_answer_has_the_headers_of_a_stream(bed: Bed) -> None:
    bed.feed.put(Kind.END, b"{}")
    answer = await bed.client.get(f"{bed.url}/events")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["measurement-id"] == "0" * 32
    assert answer.text.startswith(f"retry: 1000\nid: {ENDED}\nevent: end\n")


async def test_connection_is_kept_after_the_end(bed: Bed) -> None:
    bed.feed.put(Kind.END, b"{}")
    sock = await bed.connect("/events")
    loop = asyncio.get_running_loop()
    for _ in range(2):
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += await loop.sock_recv(sock, 65_536)
        await loop.sock_sendall(sock, b"GET /rows HTTP/1.1\r\nHost: t\r\n\r\n")
    sock.close()


async def test_client_resumes_after_its_last_event(bed: Bed) -> None:
    for row in range(3):
        bed.put_row(row)
    follower = bed.follower()
    async with follower.events(f"{bed.url}/events") as events:
        await anext(events)
        await anext(events)
    bed.feed.put(Kind.END, b"{}")
    assert follower.reader.last_id == "2"
    assert names(await follower.all(f"{bed.url}/events")) == ["row", "end"]
    assert sorted(follower.state.rows) == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize("last", ["", "x", "-1", "1e3", "9" * 400, "99", "٣"])
async def test_last_event_id_that_is_not_of_the_feed_gets_everything(bed: Bed, last: str) -> None:
    bed.put_row(0)
    bed.feed.put(Kind.END, b"{}")
    headers = {"last-event-id": last.encode()}
    answer = await bed.client.get(f"{bed.url}/events", headers=headers)
    assert names(events_of(answer.content)) == ["row", "end"]


async def test_client_that_has_had_the_end_is_told_not_to_come_back(bed: Bed) -> None:
    """EventSource connects again after every stream, but not after a 204."""
    bed.feed.put(Kind.END, b"{}")
    last = {"last-event-id": str(ENDED)}
    answer = await bed.client.get(f"{bed.url}/events", headers=last)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_head_is_answered_without_a_stream(bed: Bed) -> None:
    answer = await bed.client.head(f"{bed.url}/events")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_rows_come_as_lines_as_they_finish(bed: Bed) -> None:
    bed.put_row(1, "b")
    async with bed.client.stream("GET", f"{bed.url}/rows") as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["row"] == "b"
        bed.put_hops(0, 1, "r1")
        bed.put_row(0, "a")
        assert json.loads(await anext(lines))["row"] == "a"
        bed.feed.put(Kind.END, b"{}")
        assert [line async for line in lines] == []


async def test_large_backlog_comes_whole(bed: Bed) -> None:
    for row in range(300):
        bed.put_row(row, "x" * 5_000)
    bed.feed.put(Kind.END, b"{}")
    follower = bed.follower()
    await follower.all(f"{bed.url}/events")
    assert len(follower.state.rows) == 300
    rows = (await bed.client.get(f"{bed.url}/rows")).text.splitlines()
    assert len(rows) == 300


async def test_comments_show_that_a_silent_stream_lives() -> None:
    """Whatever its connection's deadlines are."""
    limits = Limits(deadlines=Deadlines(head_s=1, keep_alive_s=1, write_s=1))
    async with Bed(silent_s=0.05, limits=limits).run() as bed:
        bed.feed.put(Kind.START, b"{}")
        follower = bed.follower()
        async with follower.events(f"{bed.url}/events") as events:
            await anext(events)
            end = asyncio.create_task(anext(events))
            await until(lambda: follower.reader.comments > 20)  # longer than 1 s
            bed.feed.put(Kind.END, b"{}")
            assert (await end).name == "end"
