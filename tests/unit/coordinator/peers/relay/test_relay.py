"""Requests that wait for another coordinator."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from colotrace_coordinator.live.feed import Kind
from colotrace_coordinator.metrics import RelayMetrics
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.peers.relay.messages import MAX_EVENT
from colotrace_coordinator.peers.relay.relay import Relay
from colotrace_coordinator.peers.relay.runner import FORGET_AFTER_S
from colotrace_proto import bus
from colotrace_proto.running import RunningClock
from eventually import until
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from unit.coordinator.peers.relay.between import ACCOUNT, ID, Here, all_of, fill, finished


class Pair:
    """Two relays, and a broker that passes their messages on while `up`."""

    def __init__(self, clock: RunningClock) -> None:
        self.up = True
        self.relays = [
            Relay(Peers(digit * 32), metrics=RelayMetrics(CollectorRegistry()), clock=clock)
            for digit in "ab"
        ]

    async def run(self, relay: Relay) -> None:
        relay.connected()
        while True:
            for topic, payload in relay.to_send():
                for each in self.relays:
                    if self.up and topic in (bus.ALL_COORDINATORS, bus.coordinator(each.origin)):
                        each.heard(topic, payload)
            await relay.due()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    clock = RunningClock()
    pair = Pair(clock)
    tasks = [asyncio.create_task(pair.run(relay)) for relay in pair.relays]
    await until(lambda: all(relay.echoed for relay in pair.relays))
    yield pair
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    clock.close()


async def test_two_requests_at_once_get_one_feed(pair: Pair) -> None:
    asking, running = pair.relays
    here = Here()
    running.serve(here)
    fill(here.feed)
    feeds = await asyncio.gather(*(asking.follow(ACCOUNT, ID) for _ in range(5)))
    assert {id(feed) for feed in feeds} == {id(feeds[0])}
    assert feeds[0] is not None
    assert all_of(feeds[0]) == all_of(here.feed)
    assert here.asked == 1


async def test_measurement_that_has_ended_meanwhile_is_returned_whole(pair: Pair) -> None:
    asking, running = pair.relays
    here = Here()
    running.serve(here)
    fill(here.feed)
    here.feed.put(Kind.END, b"{}")
    feed = await asking.follow(ACCOUNT, ID)
    assert feed is not None
    assert all_of(feed) == all_of(here.feed)


async def test_measurement_of_which_not_all_arrives_is_none(pair: Pair) -> None:
    """The runner gives it up when it comes to an event that is too large."""
    asking, running = pair.relays
    here = Here()
    running.serve(here)
    fill(here.feed)
    for row in range(1_000):
        here.feed.put(Kind.ROW, finished(row), row=row)
    here.feed.put(Kind.ROW, bytes(MAX_EVENT + 1), row=1_001)
    assert await asking.follow(ACCOUNT, ID) is None


async def test_coordinator_that_stops_waits_until_the_others_have_the_end(pair: Pair) -> None:
    asking, running = pair.relays
    here = Here()
    running.serve(here)
    fill(here.feed)
    feed = await asking.follow(ACCOUNT, ID)
    assert feed is not None
    here.feed.put(Kind.END, b"{}")
    await running.drain()
    assert (feed.ended, feed.closed) == (True, False)


async def test_stop_is_not_held_up_by_a_coordinator_that_is_lost(pair: Pair) -> None:
    asking, running = pair.relays
    here = Here()
    running.serve(here)
    assert await asking.follow(ACCOUNT, ID) is not None
    pair.up = False
    here.feed.put(Kind.END, b"{}")
    async with asyncio.timeout(FORGET_AFTER_S / 2):
        await running.drain()


async def test_event_of_a_later_kind_is_counted_and_logged_once(pair: Pair) -> None:
    asking, running = pair.relays
    here = Here()
    running.serve(here)
    feed = await asking.follow(ACCOUNT, ID)
    assert feed is not None
    with capture_logs() as logs:
        for _ in range(2):
            here.feed.put(cast(Kind, "later"), b"{}")
            here.feed.put(Kind.MESSAGE, b"{}")
            await until(lambda: len(all_of(feed)) * 2 == here.feed.position)
    assert [each["kind"] for each in logs if each["event"] == "relay_unknown_event"] == ["later"]
    assert not feed.ended


async def test_nobody_is_asked_without_a_broker(pair: Pair) -> None:
    asking, _ = pair.relays
    asking.disconnected()
    async with asyncio.timeout(0.2):
        assert await asking.follow(ACCOUNT, ID) is None
        assert not await asking.cancel(ACCOUNT, ID)
