"""What a follower of a measurement gets from its runner, and how long."""

import zlib

import msgspec
from colotrace_coordinator.live.feed import Kind
from colotrace_coordinator.peers.relay.follower import (
    ANSWER_WITHIN_S,
    LINGER_S,
    RENEW_EVERY_S,
    State,
)
from colotrace_coordinator.peers.relay.messages import MAX_MESSAGE, Follow, Leave, Part, encode
from colotrace_coordinator.peers.relay.runner import ALIVE_EVERY_S, Runner
from unit.coordinator.peers.relay.between import (
    ACCOUNT,
    FOLLOWERS,
    ID,
    OTHER_ACCOUNT,
    RUNNER,
    TICK_S,
    World,
    all_of,
    fill,
    finished,
)


def test_mirror_gets_what_there_is_and_then_each_event(world: World) -> None:
    """With the same sequence numbers."""
    mirror = world.followed()
    assert mirror.state is State.FOLLOWED
    assert all_of(mirror.feed) == all_of(world.here.feed)
    mirror.feed.listen(lambda: None)
    for row in range(3):
        world.here.feed.put(Kind.ROW, finished(row), row=row)
        world.run(TICK_S)
        assert all_of(mirror.feed) == all_of(world.here.feed)


def test_mirror_of_a_measurement_without_events(world: World) -> None:
    mirror = world.follow()
    world.run()
    assert (mirror.state, mirror.feed.position) == (State.FOLLOWED, 0)


def test_end_ends_the_mirror_and_its_session(world: World) -> None:
    mirror = world.followed()
    world.here.feed.put(Kind.END, b"{}")
    world.run(2 * TICK_S)
    assert mirror.ended
    assert mirror.feed.ended
    assert all_of(mirror.feed)[-1].kind is Kind.END
    assert (world.runner.sessions, world.follower.mirrors) == (0, 0)
    assert world.here.feed.listeners == 0


def test_mirror_of_a_feed_that_is_closed_is_closed(world: World) -> None:
    """After it has all events."""
    mirror = world.watched()
    world.run()
    world.here.feed.put(Kind.ROW, finished(0), row=0)
    world.here.feed.close()
    world.run(3 * TICK_S)
    assert mirror.feed.closed
    assert all_of(mirror.feed) == all_of(world.here.feed)
    assert (world.runner.sessions, world.follower.mirrors) == (0, 0)


def test_measurement_that_no_coordinator_runs(world: World) -> None:
    """Of an unknown id, and with the id of another account's: no answer within the time."""
    mirrors = [
        world.follower.follow(ACCOUNT, "f" * 32, world.now),
        world.follower.follow(OTHER_ACCOUNT, ID, world.now),
    ]
    world.run(ANSWER_WITHIN_S + 2 * TICK_S)
    for mirror in mirrors:
        assert mirror is not None
        assert (mirror.ended, mirror.runner) == (True, None)
    assert {origin for origin, _ in world.sent} == {FOLLOWERS[0]}
    assert (world.follower.mirrors, world.runner.sessions) == (0, 0)


def test_two_watchers_share_one_session(world: World) -> None:
    fill(world.here.feed)
    assert world.follow() is world.follow()
    world.run()
    assert world.follow().feed.position == world.here.feed.position
    assert world.runner.sessions == 1


def test_two_coordinators_follow_apart(world: World) -> None:
    fill(world.here.feed)
    one, other = (world.follow(origin) for origin in FOLLOWERS)
    world.run()
    assert world.runner.sessions == 2
    world.here.feed.put(Kind.ROW, finished(0), row=0)
    world.run()
    assert all_of(one.feed) == all_of(other.feed) == all_of(world.here.feed)
    one.feed.listen(lambda: None)
    world.run(LINGER_S + 1)
    assert (one.ended, other.ended, world.runner.sessions) == (False, True, 1)
    world.here.feed.put(Kind.ROW, finished(1), row=1)
    world.run()
    assert all_of(one.feed) == all_of(world.here.feed)


def test_mirror_lives_while_it_has_listeners(world: World) -> None:
    """It costs a message now and then, and ends some seconds after the last listener."""
    mirror = world.follow()
    leave = mirror.feed.listen(lambda: None)
    seconds = 60
    world.run(seconds)
    assert world.number(Follow) <= 2 + seconds / RENEW_EVERY_S
    assert world.number(Part) <= 2 + seconds / ALIVE_EVERY_S
    assert not mirror.ended
    leave()
    world.run(LINGER_S - 1)
    assert world.follow() is mirror
    world.run(LINGER_S - 1)
    assert not mirror.ended
    world.run(1 + 3 * TICK_S)
    assert mirror.ended
    assert mirror.feed.ended
    assert (world.number(Leave), world.runner.sessions) == (1, 0)


def test_backlog_is_split_into_messages_within_the_bound(world: World) -> None:
    """And one event is, that is larger than a message."""
    fill(world.here.feed, 0)
    for row in range(100):
        world.here.feed.put(Kind.ROW, finished(row, 3_000), row=row)
    world.here.feed.put(Kind.ROW, finished(100, 300_000), row=100)
    mirror = world.follow()
    world.run()
    assert all_of(mirror.feed) == all_of(world.here.feed)
    parts = [message for _, message in world.sent if isinstance(message, Part)]
    assert 20 < len(parts) < 50
    assert sorted({part.pieces for part in parts})[:-1] == [2, 3]  # and that of the large event
    assert max(len(encode(message)) for _, message in world.sent) <= MAX_MESSAGE


def test_long_backlog_does_not_hold_up_the_events_of_another_session(world: World) -> None:
    for row in range(5_000):
        world.here.feed.put(Kind.ROW, finished(row, 3_000), row=row)
    late = world.follow()
    world.run(4 * TICK_S)
    assert late.state is State.ASKED
    ready = world.follow(FOLLOWERS[1])
    ready.position = world.here.feed.position  # it resumes at the end
    world.run(2 * TICK_S)
    world.here.feed.put(Kind.ROW, finished(9_999), row=9_999)
    world.run(2 * TICK_S)
    assert ready.position == world.here.feed.position
    assert late.state is State.ASKED


def test_position_of_another_feed_gets_everything(world: World) -> None:
    fill(world.here.feed)
    mirror = world.follow()
    mirror.position = 10**9
    world.run()
    assert all_of(mirror.feed) == all_of(world.here.feed)


def test_position_of_another_feed_waits_for_the_first_event(world: World) -> None:
    mirror = world.follow()
    mirror.position = 10**9
    mirror.feed.listen(lambda: None)
    world.run(3)
    assert world.number(Part) <= 1 + 3 / ALIVE_EVERY_S
    fill(world.here.feed)
    world.run()
    assert all_of(mirror.feed) == all_of(world.here.feed)


def test_another_session_of_a_feed_is_woken_after_one_has_ended() -> None:
    world, woken = World(), []
    world.runner = Runner(RUNNER, dropped=world.drop, wake=lambda: woken.append(world.now))
    world.runner.local = world.here
    one, _ = (world.follow(origin) for origin in FOLLOWERS)
    world.run()
    leave = Leave(origin=FOLLOWERS[0], session=one.session)
    world.runner.heard(leave, world.now, addressed=True)
    woken.clear()
    fill(world.here.feed, 0)
    assert len(woken) == 1


def test_event_of_a_later_kind_is_left_out(world: World) -> None:
    """The coordinators are upgraded one after the other."""
    mirror = world.followed()
    position = mirror.position
    plain = [(position + 1, "later", None, b"{}"), (position + 2, "message", None, b"{}")]
    part = Part(
        origin=RUNNER,
        session=mirror.session,
        round=0,
        count=mirror.count,
        position=position + 2,
        data=zlib.compress(msgspec.msgpack.encode(plain)),
    )
    world.follower.heard(part, world.now)
    assert world.unknown == ["later"]
    assert not mirror.ended
    assert all_of(mirror.feed)[-1].sequence == mirror.position == position + 2
