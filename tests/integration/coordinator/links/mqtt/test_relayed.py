"""Measurements of one coordinator at another, with a real broker between them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from colotrace_coordinator.links.mqtt.relayed import ECHO_WITHIN_S
from colotrace_coordinator.live.feed import Feed, Kind
from colotrace_coordinator.peers.relay import follower, relay
from colotrace_coordinator.peers.relay.follower import ANSWER_WITHIN_S, LINGER_S, LOST_AFTER_S
from colotrace_proto import bus
from eventually import until
from fleet import Broker
from fleet.stranger import stranger
from integration.coordinator.links.mqtt.at_broker import Coordinator, reachable, running
from lab import Lab
from structlog.testing import capture_logs
from unit.coordinator.peers.relay.between import ACCOUNT, ID, Here, all_of, fill, finished


def ready(*coordinators: Coordinator) -> bool:
    """They know of each other, and the broker passes their messages on."""
    number = len(coordinators)
    return all(each.relay.echoed and each.peers.coordinators == number for each in coordinators)


@pytest.fixture
async def other(broker: Broker, coordinator: Coordinator) -> AsyncIterator[Coordinator]:
    """Another coordinator."""
    async with running(broker) as other:
        await until(lambda: ready(coordinator, other))
        yield other


@pytest.fixture
def here(coordinator: Coordinator) -> Here:
    """What the first coordinator runs."""
    here = Here()
    coordinator.relay.serve(here)
    fill(here.feed)
    return here


async def followed(coordinator: Coordinator) -> Feed:
    feed = await coordinator.relay.follow(ACCOUNT, ID)
    assert feed is not None
    return feed


async def until_same(one: Feed, other: Feed) -> None:
    await until(lambda: one.position == other.position)
    assert all_of(one) == all_of(other)


async def test_measurement_is_followed_at_another_coordinator(
    here: Here, coordinator: Coordinator, other: Coordinator
) -> None:
    """By two watchers, of which one joins late: one subscription until the last one goes."""
    feed = await followed(other)
    leave = feed.listen(lambda: None)
    assert all_of(feed) == all_of(here.feed)
    here.feed.put(Kind.ROW, finished(0, 50_000), row=0)
    await until_same(feed, here.feed)
    assert await followed(other) is feed
    leave_too = feed.listen(lambda: None)
    assert other.number("colotrace_measurements_followed") == 1
    assert coordinator.number("colotrace_measurements_served") == 1
    leave()
    here.feed.put(Kind.ROW, finished(1), row=1)
    await until_same(feed, here.feed)
    leave_too()
    await until(lambda: feed.ended, within_s=LINGER_S + 3)
    await until(lambda: not coordinator.number("colotrace_measurements_served"))
    assert other.number("colotrace_measurements_followed") == 0


async def test_event_is_passed_on_at_once(here: Here, other: Coordinator) -> None:
    """Several in a row: a busy machine delays some of them."""
    feed = await followed(other)
    took = []
    for row in range(5):
        await asyncio.sleep(0.1)  # longer than events are gathered for
        arrived = asyncio.Event()
        leave = feed.listen(arrived.set)
        began = time.monotonic()
        here.feed.put(Kind.ROW, finished(row), row=row)
        async with asyncio.timeout(20):
            await arrived.wait()
        took.append(time.monotonic() - began)
        leave()
    assert min(took) < 0.05


async def test_end_arrives(here: Here, coordinator: Coordinator, other: Coordinator) -> None:
    feed = await followed(other)
    here.feed.put(Kind.END, b"{}")
    await until(lambda: feed.ended)
    assert all_of(feed)[-1].kind is Kind.END
    await until(lambda: not coordinator.number("colotrace_measurements_served"))


async def test_client_that_resumes_at_another_coordinator_misses_nothing(
    here: Here, coordinator: Coordinator, other: Coordinator
) -> None:
    """It has seen an event that the other coordinator's mirror does not have yet."""
    feed = await followed(other)
    leave = feed.listen(lambda: None)
    here.feed.put(Kind.ROW, finished(0), row=0)
    seen = here.feed.position
    here.feed.put(Kind.ROW, finished(1), row=1)
    assert feed.position < seen
    resumed = await other.relay.follow(ACCOUNT, ID, position=seen)
    assert resumed is feed
    assert feed.position >= seen
    await until_same(feed, here.feed)
    assert feed.after(seen) == here.feed.after(seen)
    assert f"id: {seen + 1}\n".encode() in feed.after(seen).data
    leave()
    del coordinator


async def test_measurement_that_no_coordinator_runs(here: Here, other: Coordinator) -> None:
    began = time.monotonic()
    assert await other.relay.follow(ACCOUNT, "f" * 32) is None
    assert await other.relay.follow("another", ID) is None
    assert not await other.relay.cancel(ACCOUNT, "f" * 32)
    assert time.monotonic() - began < 3 * ANSWER_WITHIN_S + 1
    assert not await other.relay.cancel("another", ID)
    assert here.cancelled == []


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, coordinators wait for answers for longer than any test."""

    def wait_long() -> None:
        for module in (relay, follower):
            monkeypatch.setattr(module, "ANSWER_WITHIN_S", 1_000.0)

    return wait_long


async def test_coordinator_that_is_alone_asks_nobody(
    coordinator: Coordinator, patient: Callable[[], None]
) -> None:
    await until(lambda: ready(coordinator))
    assert await coordinator.relay.follow(ACCOUNT, ID) is None  # may still ask
    patient()
    async with asyncio.timeout(20):
        assert await coordinator.relay.follow(ACCOUNT, ID) is None
        assert not await coordinator.relay.cancel(ACCOUNT, ID)


async def test_cancel_at_another_coordinator(here: Here, other: Coordinator) -> None:
    assert await other.relay.cancel(ACCOUNT, ID)
    assert here.cancelled == [ID]


async def test_mirror_ends_when_the_other_coordinator_is_lost(
    broker: Broker, coordinator: Coordinator
) -> None:
    """The event `end` does not come."""
    here = Here()
    async with running(broker) as lost:
        lost.relay.serve(here)
        fill(here.feed)
        await until(lambda: ready(coordinator, lost))
        feed = await followed(coordinator)
        feed.listen(lambda: None)
    began = time.monotonic()
    await until(lambda: feed.ended, within_s=LOST_AFTER_S + 3)
    assert time.monotonic() - began > LOST_AFTER_S / 2
    assert Kind.END not in [each.kind for each in all_of(feed)]
    assert await coordinator.relay.follow(ACCOUNT, ID) is None


async def test_mirror_is_repaired_after_the_brokers_restart(
    broker: Broker, here: Here, coordinator: Coordinator, other: Coordinator
) -> None:
    """Events that were put meanwhile arrive."""
    feed = await followed(other)
    feed.listen(lambda: None)
    broker.kill()
    await until(lambda: not reachable(other) and not reachable(coordinator))
    assert await other.relay.follow(ACCOUNT, "f" * 32) is None
    here.feed.put(Kind.ROW, finished(0), row=0)
    broker.start()
    await until_same(feed, here.feed)
    here.feed.put(Kind.ROW, finished(1), row=1)
    await until_same(feed, here.feed)
    assert not feed.ended


async def test_invalid_message_is_counted_and_ignored(
    broker: Broker, here: Here, coordinator: Coordinator, other: Coordinator
) -> None:
    """On the topic of all coordinators, and on that of one."""
    feed = await followed(other)
    own = bus.coordinator(other.peers.origin)
    async with stranger(broker) as client:
        for topic in (bus.ALL_COORDINATORS, own):
            for payload in (b"", b"\xc1", bytes(16_400), b"\x81\xa4kind\xa4part"):
                await client.publish(topic, payload, qos=1)
        # A report whose unknown field is deeper than the interpreter's stack.
        report = b"\x82\xa6origin\xd9\x20" + b"b" * 32 + b"\xa1x" + b"\x91" * 16_000 + b"\x01"
        await client.publish(bus.COORDINATORS, report, qos=1)
    name = "colotrace_broker_invalid_messages_total"
    await until(lambda: other.number(name) == 9 and coordinator.number(name) == 5)
    here.feed.put(Kind.ROW, finished(0), row=0)
    await until_same(feed, here.feed)


@pytest.mark.parametrize("rights", ["", "topic readwrite colotrace/v1/coordinators\n"])
async def test_coordinators_without_rights_show_their_own_measurements_only(
    lab: Lab, tmp_path: Path, rights: str, patient: Callable[[], None]
) -> None:
    """With access rights of release 0.2, and with rights for reports alone. It is logged once."""
    file = tmp_path / "acl"
    own = [f"topic readwrite colotrace/v1/{each}/#\n" for each in ("agents", "jobs", "cancels")]
    file.write_text("".join(own) + rights)
    settings = f"allow_anonymous true\nacl_file {file}"
    with capture_logs() as lines, Broker(lab, settings=settings) as broker:
        async with running(broker) as one:
            await until(lambda: reachable(one))

            def logged() -> list[str]:
                event = "measurements_not_relayed"
                return [line["remedy"] for line in lines if line["event"] == event]

            patient()
            async with asyncio.timeout(20):
                assert await one.relay.follow(ACCOUNT, ID) is None
                assert not await one.relay.cancel(ACCOUNT, ID)
            await until(lambda: bool(logged()), within_s=2 * ECHO_WITHIN_S)
            (remedy,) = logged()
            assert "colotrace/v1/coordinators/+" in remedy
            assert reachable(one)
