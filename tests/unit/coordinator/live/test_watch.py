"""Readers wake at common ticks: at once after a silence, then at most so often."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from colotrace_coordinator.live.feed import Feed, Kind
from colotrace_coordinator.live.watch import AT_ONCE, Reader, Watch

EVERY_S, SILENT_S = 0.1, 15.0


class VirtualTime:
    """A loop's clock that a test moves on. Timers that are due then run in the next turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self.now)

    async def forward(self, by_s: float) -> None:
        for seconds in (0, by_s):
            self.now += seconds
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    return VirtualTime(asyncio.get_running_loop(), monkeypatch)


class Following:
    """A reader in a task of its own; `woken` has the position at each of its wake-ups."""

    def __init__(self, watch: Watch) -> None:
        self.woken: list[int] = []
        self.reader: Reader | None = None
        self.task = asyncio.create_task(self._run(watch))

    async def _run(self, watch: Watch) -> None:
        with watch.reader() as self.reader:
            while not self.reader.ended:
                await self.reader.wait()
                self.woken.append(watch.feed.position)


@pytest.fixture
async def feed() -> Feed:
    return Feed()


@pytest.fixture
async def watch(feed: Feed, time: VirtualTime) -> AsyncIterator[Watch]:
    watch = Watch(feed, every_s=EVERY_S, silent_s=SILENT_S)
    yield watch
    watch.stop()
    await time.forward(0)
    assert watch.readers == 0


async def test_first_event_after_silence_wakes_at_once(
    feed: Feed, watch: Watch, time: VirtualTime
) -> None:
    following = Following(watch)
    await time.forward(1)
    feed.put(Kind.START, b"{}")
    feed.put(Kind.MESSAGE, b"{}")
    await time.forward(0)
    assert following.woken == [2]


async def test_later_events_are_merged(feed: Feed, watch: Watch, time: VirtualTime) -> None:
    following = Following(watch)
    await time.forward(0)
    for _ in range(100):
        feed.put(Kind.MESSAGE, b"{}")
        await time.forward(0.01)
    assert 9 <= len(following.woken) <= 11
    await time.forward(EVERY_S)
    assert following.woken[-1] == 100


async def test_all_readers_wake_at_the_same_tick(
    feed: Feed, watch: Watch, time: VirtualTime
) -> None:
    """Therefore they read the same piece."""
    first = Following(watch)
    await time.forward(0)
    feed.put(Kind.MESSAGE, b"{}")
    await time.forward(0.05)
    second = Following(watch)
    feed.put(Kind.MESSAGE, b"{}")
    await time.forward(0.01)
    assert (first.woken, second.woken) == ([1], [])
    await time.forward(0.05)
    assert (first.woken, second.woken) == ([1, 2], [2])


async def test_many_readers_wake_in_several_turns(feed: Feed, watch: Watch) -> None:
    """Others have their turn in between."""
    several = [Following(watch) for _ in range(200)]
    await asyncio.sleep(0)
    feed.put(Kind.MESSAGE, b"{}")
    awake = []
    while not awake or awake[-1] < 200:
        await asyncio.sleep(0)
        awake.append(sum(len(each.woken) for each in several))
    steps = {b - a for a, b in pairwise(awake)}
    assert max(steps) == AT_ONCE


async def test_silence_is_interrupted_by_a_tick(
    feed: Feed, watch: Watch, time: VirtualTime
) -> None:
    following = Following(watch)
    await time.forward(SILENT_S - 1)
    assert following.woken == []
    await time.forward(1.1)
    assert following.woken == [0]


async def test_silence_counts_from_the_last_event(
    feed: Feed, watch: Watch, time: VirtualTime
) -> None:
    following = Following(watch)
    await time.forward(SILENT_S - 1)
    feed.put(Kind.MESSAGE, b"{}")
    await time.forward(2)
    assert following.woken == [1]
    await time.forward(SILENT_S - 2.5)
    assert following.woken == [1]
    await time.forward(1)
    assert following.woken == [1, 1]


async def test_ticks_while_the_reader_is_busy_are_one(
    feed: Feed, watch: Watch, time: VirtualTime
) -> None:
    """`wait` returns at once, and the reader knows that it is slow."""
    with watch.reader() as reader:
        for _ in range(3):
            feed.put(Kind.MESSAGE, b"{}")
            await time.forward(EVERY_S)
        assert reader.missed == 3
        await reader.wait()
        assert reader.missed == 3


async def test_reader_that_waits_again_is_no_longer_slow(
    feed: Feed, watch: Watch, time: VirtualTime
) -> None:
    with watch.reader() as reader:
        feed.put(Kind.MESSAGE, b"{}")
        await time.forward(EVERY_S)
        await reader.wait()
        waiting = asyncio.create_task(reader.wait())
        await time.forward(EVERY_S)
        feed.put(Kind.MESSAGE, b"{}")
        await time.forward(0)
        await waiting
        assert reader.missed == 0


async def test_stopped_readers_end(watch: Watch, time: VirtualTime) -> None:
    several = [Following(watch) for _ in range(3)]
    await time.forward(0)
    watch.stop()
    await time.forward(0)
    assert all(each.task.done() for each in several)


async def test_watch_without_readers_leaves_the_feed_alone(
    feed: Feed, watch: Watch, time: VirtualTime
) -> None:
    with watch.reader():
        feed.put(Kind.MESSAGE, b"{}")
    feed.put(Kind.MESSAGE, b"{}")
    await time.forward(SILENT_S + 1)
    assert watch.tick == 0
