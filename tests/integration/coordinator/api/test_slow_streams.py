"""Clients that read slowly or not at all, and how many there may be."""

import asyncio
import socket

from colotrace_coordinator.api.errors import OverloadedError, TooManyWatchersError, describe
from colotrace_coordinator.api.http.connection import Deadlines
from colotrace_coordinator.api.http.server import Limits
from colotrace_coordinator.live.feed import PIECE_BYTES, Kind
from eventually import until
from fleet.events import Event, EventReader, State
from integration.coordinator.api.watched import Bed

HEAD_END = b"\r\n\r\n"


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
