"""Measurements while they run: kept, followed, cancelled."""

import asyncio
import json
from typing import Any

from colotrace_coordinator.live.feed import Feed
from colotrace_proto.measured import Status
from colotrace_proto.messages import Cancel, Frame, Node, NodeKind, Replies
from eventually import until
from integration.coordinator.service.traced import DEN, SIN, Coordinator, cancelled, soon
from unit.coordinator.scripted_agent import ROUTER, TARGET, path


def events(feed: Feed, *, after: int = 0) -> list[tuple[str, Any]]:
    return [(e.kind.value, json.loads(e.data)) for e in feed.events(after, most=1_000)]


async def ended(coordinator: Coordinator, measurement_id: str) -> Status:
    async def over() -> bool:
        return await coordinator.status(measurement_id) is not Status.RUNNING

    await until(over)
    return await coordinator.status(measurement_id)


async def test_answered_measurement_is_kept_as_it_was_answered(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    answer = coordinator.begin("8.8.8.8", "10.0.0.1")
    await agent.say(path((await agent.take()).job_id))
    answered = await soon(answer)
    [summary] = coordinator.history.summaries.values()
    assert (summary.status, summary.finished, summary.failed) == (Status.COMPLETE, 2, 1)
    assert summary.ended_ms is not None
    shown = await coordinator.measurements.show("acc", summary.id)
    assert shown is not None
    assert [row async for piece in shown.rows for row in piece] == [
        row for target in answered.rows for row in target.colos
    ]
    assert shown.messages == answered.messages


async def test_target_that_is_named_twice_is_traced_once(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    answer = coordinator.begin("8.8.8.8", "8.8.8.8")
    await agent.say(path((await agent.take()).job_id))
    answered = await soon(answer)
    assert answered.rows[0].colos == answered.rows[1].colos
    [summary] = coordinator.history.summaries.values()
    assert summary.finished == 2


async def test_measurement_whose_client_leaves_is_kept_as_cancelled(
    coordinator: Coordinator,
) -> None:
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(path(job.job_id, failure=None))
    await until(lambda: coordinator.number("colotrace_frames_total") == 1)
    await cancelled(answer)
    assert await agent.expect(Cancel) == Cancel(job.job_id)
    [summary] = coordinator.history.summaries.values()
    assert await ended(coordinator, summary.id) is Status.CANCELLED
    trace = coordinator.history.traces[summary.id][0]
    assert len(trace.gathered.replies.ttl) == 2
    assert trace.remarks[0].text.startswith("den01: the measurement was cancelled")


async def test_running_measurement_is_shown_with_what_there_is(coordinator: Coordinator) -> None:
    """And without an error, since its rows may still end well."""
    agent = await coordinator.agent()
    summary = coordinator.start("8.8.8.8", "8.8.4.4")
    await agent.say(path((await agent.take()).job_id, failure=None))
    await until(lambda: coordinator.number("colotrace_frames_total") == 1)
    shown = await coordinator.measurements.show("acc", summary.id)
    assert shown is not None
    first, second = [row async for piece in shown.rows for row in piece]
    assert (first.error, [hop.nodes[0].ip for hop in first.hops]) == ("", ["198.18.0.1", "8.8.8.8"])
    assert (second.error, second.hops) == ("", [])
    assert shown.messages == []
    assert shown.measured.summary.status is Status.RUNNING


async def test_measurement_of_another_account_is_not_found(coordinator: Coordinator) -> None:
    await coordinator.agent()
    summary = coordinator.start()
    found = coordinator.measurements
    assert await found.find("other", summary.id) is None
    assert await found.show("other", summary.id) is None
    assert await found.feed("other", summary.id) is None
    assert not await found.cancel("other", summary.id)


async def test_cancelled_measurement_ends_with_what_there_is(coordinator: Coordinator) -> None:
    """Whoever waits for its answer gets it."""
    agent = await coordinator.agent()
    answer = coordinator.begin("8.8.8.8", "8.8.4.4")
    job = await agent.take()
    await agent.say(path(job.job_id, failure=None))
    await until(lambda: coordinator.number("colotrace_frames_total") == 1)
    [summary] = coordinator.history.summaries.values()
    assert await coordinator.measurements.cancel("acc", summary.id)
    answered = await soon(answer)
    codes = [row.error[-1:] for target in answered.rows for row in target.colos]
    assert codes == ["2", "2"]
    assert [len(target.colos[0].hops) for target in answered.rows] == [2, 0]
    assert await coordinator.status(summary.id) is Status.CANCELLED
    assert not await coordinator.measurements.cancel("acc", summary.id)


async def test_measurement_that_is_too_late_is_partial(coordinator: Coordinator) -> None:
    await coordinator.agent()
    summary = coordinator.start(within_s=0.05)
    assert await ended(coordinator, summary.id) is Status.PARTIAL


async def test_events_tell_each_change_of_a_row(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    summary = coordinator.start()
    feed = await coordinator.measurements.feed("acc", summary.id)
    assert feed is not None
    job = await agent.take()
    router = Replies((1,), (2_000_000,), (0,), (Node(ROUTER),))
    await agent.say(Frame(job.job_id, 1, TARGET, (1,), router))
    await until(lambda: feed.position == 2)
    [(start, begun), (hops, told)] = events(feed)
    assert (start, begun["measurement"]["id"]) == ("start", summary.id)
    assert (hops, told["target"], told["colo"], told["fresh"]) == ("hops", 0, 0, False)
    assert [hop["nodes"][0]["ip"] for hop in told["hops"]] == ["198.18.0.1"]
    target = Replies((2,), (4_000_000,), (0,), (Node(TARGET, NodeKind.TARGET),))
    await agent.say(Frame(job.job_id, 2, TARGET, (1, 1), target))
    await until(lambda: feed.position == 3)
    [(_, more)] = events(feed, after=2)
    assert [hop["packets_ttl"] for hop in more["hops"]] == [2]
    await agent.say(Frame(job.job_id, 3, TARGET, (1, 1), outcome=path(job.job_id).outcome))
    await until(lambda: feed.ended)
    kinds = [kind for kind, _ in events(feed)]
    assert kinds == ["start", "row", "end"]
    [_, (_, row), (_, end)] = events(feed)
    assert len(row["row"]["hops"]) == 2
    assert end["measurement"]["status"] == "complete"
    assert end["measurement"]["rows"]["finished"] == 1


async def test_row_that_another_agent_traces_anew_is_fresh(coordinator: Coordinator) -> None:
    first = await coordinator.agent("a1")
    summary = coordinator.start()
    feed = await coordinator.measurements.feed("acc", summary.id)
    assert feed is not None
    job = await first.take()
    await first.say(path(job.job_id, failure=None))
    await until(lambda: feed.position == 2)
    second = await coordinator.agent("a2")
    await first.drop()
    job = await second.take()
    nodes = (Node(bytes((198, 18, 9, 9))),)
    replies = Replies((1,) * 3, (1_000_000,) * 3, (0,) * 3, nodes)
    await second.say(Frame(job.job_id, 1, TARGET, (3,), replies))
    await until(lambda: feed.position == 3)
    [(_, told)] = events(feed, after=2)
    assert told["fresh"]
    assert [hop["nodes"][0]["ip"] for hop in told["hops"]] == ["198.18.9.9"]


async def test_late_follower_gets_rows_that_have_ended(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    summary = coordinator.start(colos=(DEN, SIN))
    await agent.say(path((await agent.take()).job_id))
    await until(lambda: 0 in coordinator.history.traces[summary.id])
    feed = await coordinator.measurements.feed("acc", summary.id)
    assert feed is not None
    await until(lambda: feed.ended)
    assert [kind for kind, _ in events(feed)].count("row") == 2
    assert "message" in [kind for kind, _ in events(feed)]


async def test_ended_measurement_is_followed_at_once(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    answer = coordinator.begin()
    await agent.say(path((await agent.take()).job_id))
    await soon(answer)
    [summary] = coordinator.history.summaries.values()
    feed = await coordinator.measurements.feed("acc", summary.id)
    assert feed is not None
    assert feed.ended
    assert [kind for kind, _ in events(feed)] == ["start", "row", "end"]


async def test_draining_waits_for_measurements_that_go_on_by_themselves(
    coordinator: Coordinator,
) -> None:
    agent = await coordinator.agent()
    summary = coordinator.start()
    draining = asyncio.create_task(coordinator.service.drain())
    job = await agent.take()
    assert not draining.done()
    await agent.say(path(job.job_id))
    async with asyncio.timeout(20):
        await draining
    assert await coordinator.status(summary.id) is Status.COMPLETE
