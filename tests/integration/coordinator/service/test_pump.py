"""The events of a measurement that runs: scripted agents, real streams, a feed that is read."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any, cast

import msgspec
import pytest
from colotrace_coordinator.enrich.names import Names
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.live.feed import Feed
from colotrace_proto.measured import Options, Summary
from colotrace_proto.messages import Ack, Frame, JobId, Node, NodeKind, Replies
from colotrace_proto.rows import NO_RESPONSE
from eventually import until
from fleet.events import Event, EventReader, State
from integration.coordinator.service.traced import DEN, SIN, Coordinator
from unit.coordinator.scripted_agent import ROUTER, TARGET, ScriptedAgent, path

R1, R2, R3 = (bytes((198, 18, 0, n)) for n in (1, 2, 3))


class FakeNames:
    """Names that are looked up until the test tells them."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked: set[str] = set()

    def prefetch(self, addresses: Iterable[str], _: Origin) -> None:
        self.asked.update(addresses)

    def known_now(self, addresses: Iterable[str]) -> tuple[dict[str, str], set[str]]:
        addresses = set(addresses)
        found = {each: self.known[each] for each in addresses & self.known.keys()}
        return found, (addresses & self.asked) - self.known.keys()

    async def names(self, addresses: Iterable[str], _: Origin, **_wait: float) -> dict[str, str]:
        return self.known_now(addresses)[0]


class Reading:
    """A follower that reads its feed strictly."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.state = State()
        self.events: list[Event] = []
        self._reader = EventReader()
        self._position = 0

    def read(self) -> State:
        while (piece := self.feed.after(self._position)).data:
            self._position = piece.position
            for event in self._reader.feed(piece.data):
                self.events.append(event)
                self.state.apply(event)
        return self.state

    async def until_hops(self, *ttls: int, place: tuple[int, int] = (0, 0)) -> dict[int, Any]:
        """Wait until these hops of a row are known."""
        await until(lambda: set(ttls) <= self.read().hops.get(place, {}).keys())
        return self.state.hops[place]

    async def to_the_end(self) -> State:
        await until(lambda: self.read().end is not None)
        return self.state

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


@pytest.fixture
def names() -> FakeNames:
    return FakeNames()


@pytest.fixture
async def coordinator(names: FakeNames) -> AsyncIterator[Coordinator]:
    async with AsyncExitStack() as stack:
        coordinator = Coordinator(stack, names=cast("Names", names))
        coordinator.port = await coordinator.link.start()
        yield coordinator
        await coordinator.link.stop()


async def following(coordinator: Coordinator, summary: Summary) -> Reading:
    feed = await coordinator.measurements.feed("acc", summary.id)
    assert feed is not None
    return Reading(feed)


async def final(coordinator: Coordinator, summary: Summary) -> dict[tuple[int, int], Any]:
    """The rows of the answer, by target and colo, as JSON has them."""
    answer = await coordinator.measurements.show("acc", summary.id)
    assert answer is not None
    found = [row async for piece in answer.rows for row in piece]
    width = len(summary.colos)
    return {divmod(n, width): msgspec.to_builtins(row) for n, row in enumerate(found)}


def hop(job_id: JobId, sequence: int, *found: tuple[int, bytes], sent: int = 3) -> Frame:
    """A frame of answers that came, each of a TTL and an address, of one probe at each TTL."""
    nodes = tuple(Node(a, NodeKind.TARGET if a == TARGET else NodeKind.TRANSIT) for _, a in found)
    ttls = tuple(ttl for ttl, _ in found)
    replies = Replies(ttls, (2_000_000,) * len(ttls), tuple(range(len(ttls))), nodes)
    return Frame(job_id, sequence, TARGET, (1,) * sent, replies)


async def test_hops_come_before_their_row_and_amount_to_it(
    coordinator: Coordinator, names: FakeNames
) -> None:
    agent = await coordinator.agent()
    summary = coordinator.start()
    reading = await following(coordinator, summary)
    job = await agent.take()
    await agent.say(hop(job.job_id, 1, (1, ROUTER)))
    await reading.until_hops(1)
    assert reading.names[0] == "start"
    assert reading.state.start["measurement"]["rows"]["asked"] == 1
    assert reading.state.rows == {}
    names.known = {"198.18.0.1": "r1", "8.8.8.8": "dns"}
    await agent.say(path(job.job_id, 2))
    state = await reading.to_the_end()
    assert state.rows == await final(coordinator, summary)
    assert state.end["measurement"]["status"] == "complete"


async def test_hop_does_not_wait_for_its_name_and_comes_again_with_it(
    coordinator: Coordinator, names: FakeNames
) -> None:
    agent = await coordinator.agent()
    reading = await following(coordinator, coordinator.start())
    job = await agent.take()
    await agent.say(hop(job.job_id, 1, (1, ROUTER)))
    assert (await reading.until_hops(1))[1]["nodes"][0]["name"] == "198.18.0.1"
    names.known["198.18.0.1"] = "r1.example"
    await until(lambda: reading.read().hops[0, 0][1]["nodes"][0]["name"] == "r1.example")
    assert reading.state.rows == {}


async def test_probe_that_is_waited_for_is_not_lost(coordinator: Coordinator) -> None:
    """TTL 2 has not answered yet, TTL 3 has."""
    agent = await coordinator.agent()
    reading = await following(coordinator, coordinator.start())
    job = await agent.take()
    await agent.say(hop(job.job_id, 1, (1, R1), (3, R3)))
    hops = await reading.until_hops(1, 2, 3)
    assert [hops[ttl]["packets_lost"] for ttl in (1, 2, 3)] == [0, 0, 0]
    assert hops[2]["nodes"][0]["name"] == NO_RESPONSE
    await agent.say(hop(job.job_id, 2, (2, R2)))
    await until(lambda: reading.read().hops[0, 0][2]["nodes"][0]["ip"] == "198.18.0.2")


async def test_row_that_another_agent_traces_ends_as_the_answer(coordinator: Coordinator) -> None:
    """Hops of the first attempt that the second one does not have are gone."""
    first, second = await coordinator.agent("a1"), await coordinator.agent("a2")
    summary = coordinator.start()
    reading = await following(coordinator, summary)
    job = await _taken(first)
    await first.say(hop(job, 1, (1, R1), (2, R2), (3, R3)))
    await reading.until_hops(1, 2, 3)
    await first.drop()
    moved = await second.take()
    await second.say(path(moved.job_id))
    state = await reading.to_the_end()
    assert state.rows == await final(coordinator, summary)
    assert [each["nodes"][0]["ip"] for each in state.rows[0, 0]["hops"]] == [
        "198.18.0.1",
        "8.8.8.8",
    ]
    assert [message["code"] for message in state.messages] == [1110]
    assert state.messages[0]["source"] == {"pointer": "/result/0/colos/0"}


async def test_late_follower_gets_what_there_is(coordinator: Coordinator) -> None:
    """A finished row, and the hops of another one that runs."""
    den, sin = await coordinator.agent(), await coordinator.agent("s1", colo="sin01")
    summary = coordinator.start(colos=(DEN, SIN))
    await den.say(path((await den.take()).job_id))
    job = await sin.take()
    await sin.say(hop(job.job_id, 1, (1, ROUTER)))
    await sin.expect(Ack)
    await den.expect(Ack)
    reading = await following(coordinator, summary)
    await reading.until_hops(1, place=(0, 1))
    await until(lambda: (0, 0) in reading.read().rows)
    assert reading.state.end is None
    await sin.say(path(job.job_id, 2))
    assert (await reading.to_the_end()).rows == await final(coordinator, summary)


async def test_target_that_is_named_twice_has_two_rows(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    summary = coordinator.start("8.8.8.8", "8.8.8.8")
    reading = await following(coordinator, summary)
    job = await agent.take()
    await agent.say(hop(job.job_id, 1, (1, ROUTER)))
    await reading.until_hops(1, place=(1, 0))
    await agent.say(path(job.job_id, 2))
    state = await reading.to_the_end()
    assert set(state.rows) == {(0, 0), (1, 0)}
    assert state.rows == await final(coordinator, summary)


async def test_cancelled_measurement_ends_with_the_hops_so_far(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    summary = coordinator.start()
    reading = await following(coordinator, summary)
    job = await agent.take()
    await agent.say(hop(job.job_id, 1, (1, ROUTER)))
    await reading.until_hops(1)
    assert await coordinator.measurements.cancel("acc", summary.id)
    state = await reading.to_the_end()
    assert state.end["measurement"]["status"] == "cancelled"
    assert state.rows[0, 0]["error"].endswith("Code 2")
    assert len(state.rows[0, 0]["hops"]) >= 1


async def test_refused_target_is_a_row_without_hops(coordinator: Coordinator) -> None:
    await coordinator.agent()
    summary = coordinator.start("127.0.0.1")
    reading = await following(coordinator, summary)
    state = await reading.to_the_end()
    assert state.rows[0, 0]["error"].endswith("Code 3")
    assert "hops" not in reading.names


async def test_many_frames_are_few_events(coordinator: Coordinator) -> None:
    """Each row is shown at most ten times a second, however often its agent reports."""
    agent = await coordinator.agent()
    reading = await following(coordinator, coordinator.start(options=Options(packets_per_ttl=10)))
    job = await agent.take()
    for sequence in range(1, 121):
        await agent.say(hop(job.job_id, sequence, (1 + sequence % 15, R1), sent=15))
    await until(lambda: coordinator.number("colotrace_frames_total") >= 120)
    await agent.say(path(job.job_id, 121))
    await reading.to_the_end()
    assert reading.names.count("hops") < 60


async def _taken(agent: ScriptedAgent) -> JobId:
    return (await asyncio.wait_for(agent.take(), 20)).job_id
