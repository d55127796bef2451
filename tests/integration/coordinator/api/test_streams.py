"""Streams over sockets: what clients read, and when their streams end."""

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from colotrace_coordinator.api.edge import Edge
from colotrace_coordinator.api.errors import OverloadedError, TooManyWatchersError, describe
from colotrace_coordinator.api.http.connection import Deadlines
from colotrace_coordinator.api.http.server import Limits
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.api.streams import EventStream, RowStream, Streams
from colotrace_coordinator.errors import StoppingError
from colotrace_coordinator.live.feed import ENDED, PIECE_BYTES, Feed, Kind
from eventually import until
from fleet.events import Event, EventReader, Follower, State, events_of
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from unit.coordinator.api.conftest import BEARER, PATH, serving
from unit.coordinator.api.test_measurements import kept
from unit.coordinator.remembered import RememberedHistory

HEAD_END = b"\r\n\r\n"


@dataclass
class Bed:
    """A server with one measurement's feed at /events and /rows."""

    feed: Feed = field(default_factory=Feed)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    every_s: float = 0.02
    silent_s: float = 15.0
    most: int = 2_000
    most_of_account: int = 1_000
    limits: Limits | None = None

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Bed"]:
        metrics = HttpMetrics(self.registry)
        self.streams = Streams(
            metrics=metrics,
            most=self.most,
            most_of_account=self.most_of_account,
            every_s=self.every_s,
            silent_s=self.silent_s,
        )
        routes = [Route("/events", self.events), Route("/rows", self.rows)]
        app = Starlette(
            routes=routes, middleware=[Middleware(Edge, metrics=metrics, untouched=None)]
        )
        async with serving(app, limits=self.limits) as (self.server, self.address):
            self.url = f"http://{self.address[0]}:{self.address[1]}"
            async with httpx.AsyncClient(timeout=10) as self.client:
                yield self
        assert self.watchers() == 0
        assert self.streams.taken == 0

    async def events(self, request: Request) -> Response:
        with ExitStack() as stack:
            stack.enter_context(self.streams.enter(request.headers.get("account", "a")))
            return EventStream(
                self.feed,
                streams=self.streams,
                until_sent=stack.pop_all(),
                last_event_id=request.headers.get("last-event-id", ""),
                headers={"measurement-id": "0" * 32},
            )

    async def rows(self, _: Request) -> Response:
        with ExitStack() as stack:
            stack.enter_context(self.streams.enter("a"))
            return RowStream(self.feed, streams=self.streams, until_sent=stack.pop_all())

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0

    def watchers(self, stream: str = "events") -> int:
        return int(self.metric("colotrace_http_watchers", stream=stream))

    def put_hops(self, row: int, ttl: int, text: str) -> None:
        hop = {"packets_ttl": ttl, "nodes": [text]}
        data = {"target": 0, "colo": row, "hops": [hop], "fresh": False}
        self.feed.put(Kind.HOPS, json.dumps(data).encode(), row=row)

    def put_row(self, row: int, text: str = "") -> None:
        data = {"target": 0, "colo": row, "row": text}
        self.feed.put(Kind.ROW, json.dumps(data).encode(), row=row)

    def follower(self) -> Follower:
        return Follower(self.client)

    async def connect(self, path: str, *, receive_bytes: int | None = None) -> socket.socket:
        """A client that has asked, and reads nothing by itself."""
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, self.address)
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        return sock


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    async with Bed().run() as running:
        yield running


def names(events: Iterable[Event]) -> list[str]:
    return [event.name for event in events]


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
    limits = Limits(deadlines=Deadlines(head_s=0.02, keep_alive_s=0.02, write_s=0.02))
    async with Bed(silent_s=0.05, limits=limits).run() as bed:
        bed.feed.put(Kind.START, b"{}")
        follower = bed.follower()
        async with follower.events(f"{bed.url}/events") as events:
            await anext(events)
            end = asyncio.create_task(anext(events))
            await until(lambda: follower.reader.comments >= 3)
            bed.feed.put(Kind.END, b"{}")
            assert (await end).name == "end"


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


async def _drained(bed: Bed, sock: socket.socket) -> list[Event]:
    """What the client reads up to the end of its answer."""
    loop = asyncio.get_running_loop()
    data = b""
    async with asyncio.timeout(10):
        while not data.endswith(b"0\r\n\r\n") and (piece := await loop.sock_recv(sock, 65_536)):
            data += piece
    _, _, body = data.partition(HEAD_END)
    text = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        text += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return list(EventReader().feed(text))


async def test_slow_reader_skips_to_the_newest_state_and_is_told() -> None:
    async with Bed(limits=Limits(deadlines=Deadlines(write_s=60))).run() as bed:
        sock = await bed.connect("/events", receive_bytes=4_096)
        await until(lambda: bed.watchers() == 1)
        rows, rounds = 40, 20
        for number in range(rounds):  # 800 KB each: more than what a socket takes
            for row in range(rows):
                bed.put_hops(row, 1, f"{number} " + "x" * 20_000)
            quick = bed.follower()
            async with quick.events(f"{bed.url}/events") as events:
                for _ in range(rows):
                    await anext(events)
        bed.feed.put(Kind.END, b"{}")
        events_read = await _drained(bed, sock)
        sock.close()
    assert len(events_read) < rows * rounds / 2
    told = [event for event in events_read if event.name == "message"]
    assert [event.data["code"] for event in told] == [1120]
    assert told[0].number is None
    assert bed.metric("colotrace_http_watchers_skipped_total") == 1
    state = State()
    for event in events_read:
        state.apply(event)
    shown = {hops[1]["nodes"][0].partition(" ")[0] for hops in state.hops.values()}
    assert (len(state.hops), shown, state.end) == (rows, {str(rounds - 1)}, {})


async def test_reader_that_keeps_up_is_not_told_of_merged_events(bed: Bed) -> None:
    follower = bed.follower()
    following = asyncio.create_task(follower.all(f"{bed.url}/events"))
    await until(lambda: bed.watchers() == 1)
    for count in range(500):
        bed.put_hops(0, 1, str(count))
        if count % 10 == 0:
            await asyncio.sleep(0.001)
    bed.feed.put(Kind.END, b"{}")
    events = await following
    assert len(events) < 500
    assert follower.state.messages == []
    assert follower.state.hops == {(0, 0): {1: {"packets_ttl": 1, "nodes": ["499"]}}}


async def test_client_that_reads_nothing_is_evicted() -> None:
    limits = Limits(deadlines=Deadlines(write_s=0.1))
    async with Bed(limits=limits).run() as bed:
        sock = await bed.connect("/events", receive_bytes=4_096)
        await until(lambda: bed.watchers() == 1)
        for row in range(100):
            bed.put_row(row, "x" * PIECE_BYTES)
        await until(lambda: bed.watchers() == 0)
        sock.close()


async def test_account_has_a_share_of_the_streams() -> None:
    async with Bed(most_of_account=2).run() as bed:
        several = [await bed.connect("/events") for _ in range(2)]
        await until(lambda: bed.watchers() == 2)
        refused = await bed.client.get(f"{bed.url}/events")
        assert refused.status_code == describe(TooManyWatchersError(), path="").status == 429
        assert refused.headers["retry-after"] == "5"
        assert "follow measurements" in refused.json()["errors"][0]["message"]
        other = asyncio.create_task(
            bed.client.get(f"{bed.url}/events", headers={"account": "other"})
        )
        await until(lambda: bed.watchers() == 3)
        bed.feed.put(Kind.END, b"{}")
        assert (await other).status_code == 200
        for sock in several:
            sock.close()
        await until(lambda: bed.streams.taken == 0)
        assert (await bed.client.get(f"{bed.url}/events")).status_code == 200


async def test_streams_are_bounded_in_all() -> None:
    async with Bed(most=1).run() as bed:
        sock = await bed.connect("/events")
        await until(lambda: bed.watchers() == 1)
        refused = await bed.client.get(f"{bed.url}/events", headers={"account": "other"})
        assert refused.status_code == describe(OverloadedError(), path="").status == 503
        sock.close()


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
