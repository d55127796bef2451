"""Lost messages between a follower and a runner, and the loss of either."""

import random

import pytest
from colotrace_coordinator.live.feed import Kind
from colotrace_coordinator.peers.relay.follower import LOST_AFTER_S, RENEW_EVERY_S
from colotrace_coordinator.peers.relay.messages import Follow, Leave, Part
from colotrace_coordinator.peers.relay.runner import ALIVE_EVERY_S, FORGET_AFTER_S, Runner
from unit.coordinator.peers.relay.between import (
    ACCOUNT,
    FOLLOWERS,
    ID,
    RUNNER,
    TICK_S,
    World,
    all_of,
    fill,
    finished,
    hops,
)


def test_runner_that_dies_ends_the_mirror(world: World) -> None:
    """Without the event `end`."""
    mirror = world.watched()
    world.run(3)
    world.dead = True
    world.run(LOST_AFTER_S - ALIVE_EVERY_S - 2 * TICK_S)
    assert not mirror.feed.ended
    world.run(ALIVE_EVERY_S + 4 * TICK_S)
    assert mirror.feed.ended
    assert Kind.END not in [each.kind for each in all_of(mirror.feed)]
    assert world.follower.mirrors == 0


def test_follower_that_dies_is_forgotten(world: World) -> None:
    fill(world.here.feed)
    world.follow()
    world.run()
    world.loses = lambda message: isinstance(message, Follow | Leave)
    world.run(FORGET_AFTER_S - 1)
    assert world.runner.sessions == 1
    world.run(2)
    assert (world.runner.sessions, world.here.feed.listeners) == (0, 0)


def test_lost_event_is_repaired_by_the_next_message(world: World) -> None:
    """Also the last event, which nothing but the sign of life follows."""
    mirror = world.watched()
    world.run(2)
    world.here.feed.put(Kind.ROW, finished(0), row=0)
    world.loses = lambda _: True
    world.run()
    world.loses = lambda _: False
    world.run()
    assert mirror.feed.position < world.here.feed.position
    world.run(ALIVE_EVERY_S + 4 * TICK_S)
    assert all_of(mirror.feed) == all_of(world.here.feed)
    assert world.dropped["lost"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_mirror_is_complete_though_a_third_of_the_messages_is_lost(seed: int) -> None:
    """Each event has the same number as at the runner, and the end arrives."""
    world, chance = World(), random.Random(seed)
    fill(world.here.feed, 20)
    mirror = world.follow()
    world.run()  # the question itself may be lost with its repetitions
    mirror.feed.listen(lambda: None)
    seen: list[int] = []
    mirror.feed.listen(lambda: seen.append(mirror.feed.position))
    world.loses = lambda _: chance.random() < 0.3
    for step in range(200):
        row = chance.randrange(20)
        if step % 10 == 9:
            world.here.feed.put(Kind.ROW, finished(row, 20_000), row=row)
        else:
            text = str(step)
            world.here.feed.put(Kind.HOPS, hops(row, chance.randrange(9), text=text), row=row)
        world.run(TICK_S)
    world.loses = lambda _: False
    world.run(10)
    assert all_of(mirror.feed) == all_of(world.here.feed)
    assert world.dropped["lost"] > 0
    world.here.feed.put(Kind.END, b"{}")
    world.run(0.2)
    assert seen == sorted(seen)
    assert (mirror.ended, mirror.position) == (True, world.here.feed.position)


def test_session_that_was_forgotten_is_begun_anew(world: World) -> None:
    """The runner counts its messages from 0 again, which the follower takes for a loss."""
    mirror = world.watched()
    world.run(2)
    leave = Leave(origin=FOLLOWERS[0], session=mirror.session)
    world.runner.heard(leave, world.now, addressed=True)
    world.here.feed.put(Kind.ROW, finished(0), row=0)
    world.run(RENEW_EVERY_S + 1)
    assert all_of(mirror.feed) == all_of(world.here.feed)


def test_measurement_that_the_runner_has_forgotten_ends_the_mirror(world: World) -> None:
    mirror = world.watched()
    world.run(2)
    world.runner = Runner(RUNNER, dropped=world.drop, wake=lambda: None)
    question = Follow(origin=FOLLOWERS[0], session=mirror.session, account=ACCOUNT, id=ID)
    world.runner.heard(question, world.now, addressed=True)
    world.run()
    assert mirror.feed.ended


def test_nothing_of_an_earlier_round_is_sent_after_a_loss(world: World) -> None:
    for row in range(1_000):
        world.here.feed.put(Kind.ROW, finished(row, 3_000), row=row)
    mirror = world.follow()
    world.loses = lambda message: isinstance(message, Part) and message.count == 3
    world.run()
    assert mirror.broken
    world.loses = lambda _: False
    world.sent.clear()
    world.run(2 * TICK_S)
    assert {message.round for _, message in world.sent if isinstance(message, Part)} == {1}


@pytest.mark.parametrize(
    ("count", "piece", "broken"),
    [(1, 0, False), (0, 0, True), (2, 0, True), (1, 1, True)],
    ids=["next", "again", "gap", "piece"],
)
def test_part_that_is_not_the_next_shows_a_loss(
    world: World, count: int, piece: int, *, broken: bool
) -> None:
    mirror = world.followed()
    assert mirror.count == 1
    for round_number in (1, 0):  # that of another round shows nothing
        assert not mirror.broken
        part = Part(
            origin=RUNNER,
            session=mirror.session,
            round=round_number,
            count=count,
            position=4,
            piece=piece,
            pieces=2,
        )
        world.follower.heard(part, world.now)
    assert mirror.broken is broken


def test_repairs_become_rare_while_messages_are_lost(world: World) -> None:
    """And are quick again after some time without a loss."""
    mirror = world.follow()
    mirror.feed.listen(lambda: None)
    world.run()
    world.loses = lambda message: isinstance(message, Part) and message.count == 1
    for step in range(round(30 / TICK_S)):
        world.here.feed.put(Kind.HOPS, hops(0, 1, text=str(step)), row=0)
        world.run(TICK_S)
    assert 8 < mirror.round < 20
    world.loses = lambda _: False
    world.run(20)
    before = mirror.round
    world.loses = lambda message: isinstance(message, Part) and message.round == before
    world.here.feed.put(Kind.ROW, finished(0), row=0)
    world.run()
    world.loses = lambda _: False
    world.run(ALIVE_EVERY_S + 3 * TICK_S)
    assert all_of(mirror.feed) == all_of(world.here.feed)
