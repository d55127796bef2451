"""A follower and a runner, with lost messages between them."""

import random

import pytest
from colotrace_coordinator.errors import InvalidReportError
from colotrace_coordinator.live.feed import Event, Kind
from colotrace_coordinator.peers.relay.follower import (
    ANSWER_WITHIN_S,
    LINGER_S,
    LOST_AFTER_S,
    MAX_BYTES_OF_ACCOUNT,
    MAX_MIRRORS_OF_ACCOUNT,
    RENEW_EVERY_S,
    State,
)
from colotrace_coordinator.peers.relay.messages import (
    MAX_EVENT,
    MAX_MESSAGE,
    Cancel,
    Cancelled,
    Ended,
    Follow,
    Leave,
    Message,
    Part,
    decode,
    encode,
    pack,
)
from colotrace_coordinator.peers.relay.runner import (
    ALIVE_EVERY_S,
    ASKS_A_SECOND,
    FORGET_AFTER_S,
    MAX_SESSIONS_OF_ACCOUNT,
    Runner,
)
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
    hops,
)


@pytest.fixture
def world() -> World:
    return World()


def test_mirror_gets_what_there_is_and_then_each_event(world: World) -> None:
    """With the same sequence numbers."""
    fill(world.here.feed)
    mirror = world.follow()
    world.run()
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
    fill(world.here.feed)
    mirror = world.follow()
    world.run()
    world.here.feed.put(Kind.END, b"{}")
    world.run(2 * TICK_S)
    assert mirror.ended
    assert mirror.feed.ended
    assert all_of(mirror.feed)[-1].kind is Kind.END
    assert (world.runner.sessions, world.follower.mirrors) == (0, 0)
    assert world.here.feed.listeners == 0


def test_mirror_of_a_feed_that_is_closed_is_closed(world: World) -> None:
    """After it has all events."""
    fill(world.here.feed)
    mirror = world.follow()
    mirror.feed.listen(lambda: None)
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


def test_runner_that_dies_ends_the_mirror(world: World) -> None:
    """Without the event `end`."""
    fill(world.here.feed)
    mirror = world.follow()
    mirror.feed.listen(lambda: None)
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
    fill(world.here.feed)
    mirror = world.follow()
    mirror.feed.listen(lambda: None)
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


def test_measurement_with_an_event_that_is_too_large_is_not_followed(world: World) -> None:
    fill(world.here.feed)
    mirror = world.follow()
    mirror.feed.listen(lambda: None)
    world.run()
    world.here.feed.put(Kind.ROW, b'"%s"' % bytes(MAX_EVENT), row=0)
    world.run(2 * TICK_S)
    assert mirror.ended
    assert world.dropped == {"size": 1}
    assert world.runner.sessions == 0


def test_account_follows_only_its_share(world: World) -> None:
    answers = []
    for number in range(MAX_MIRRORS_OF_ACCOUNT + 1):
        world.now += 1  # not too often
        answers.append(world.follower.follow(ACCOUNT, f"{number:032x}", world.now))
    assert answers[-1] is None
    assert None not in answers[:-1]
    assert world.follower.follow(OTHER_ACCOUNT, ID, world.now) is not None
    assert world.dropped == {"measurements": 1}


def test_account_asks_only_so_often(world: World) -> None:
    """Another account still may."""
    asked = 0
    while world.follower.cancel(ACCOUNT, ID, world.now) is not None:
        asked += 1
        assert asked < 100
    assert world.follower.follow(ACCOUNT, ID, world.now) is None
    assert world.follower.follow(OTHER_ACCOUNT, ID, world.now) is not None
    assert world.dropped == {"rate": 2}
    world.now += 1
    assert world.follower.follow(ACCOUNT, ID, world.now) is not None


def test_runner_answers_a_coordinator_only_so_often(world: World) -> None:
    """Others are answered; what is followed already is renewed."""
    world.follow()
    world.run()
    before = world.here.asked
    for number in range(1_000):
        question = Follow(origin="d" * 32, session=number, account=ACCOUNT, id="f" * 32)
        world.runner.heard(question, world.now, addressed=False)
    assert world.here.asked - before == ASKS_A_SECOND
    assert world.dropped == {"rate": 1_000 - ASKS_A_SECOND}
    other = world.follow(FOLLOWERS[1])
    world.run()
    assert other.state is State.FOLLOWED


def test_sessions_of_an_account_are_bounded(world: World) -> None:
    for number in range(MAX_SESSIONS_OF_ACCOUNT):
        origin = f"{number:032x}"
        question = Follow(origin=origin, session=1, account=ACCOUNT, id=ID)
        world.runner.heard(question, world.now, addressed=False)
    assert world.runner.sessions == MAX_SESSIONS_OF_ACCOUNT
    mirror = world.follow()
    (_, payload), *_ = world.follower.to_send(world.now)
    question = Follow(origin=FOLLOWERS[0], session=mirror.session, account=ACCOUNT, id=ID)
    assert encode(question) == payload
    world.runner.heard(question, world.now, addressed=False)
    (to, answer), *_ = world.runner.to_send(world.now)
    assert to == FOLLOWERS[0]
    assert isinstance(decode(answer), Ended)
    assert world.dropped == {"measurements": 1}


def test_session_that_was_forgotten_is_begun_anew(world: World) -> None:
    """The runner counts its messages from 0 again, which the follower takes for a loss."""
    fill(world.here.feed)
    mirror = world.follow()
    mirror.feed.listen(lambda: None)
    world.run(2)
    leave = Leave(origin=FOLLOWERS[0], session=mirror.session)
    world.runner.heard(leave, world.now, addressed=True)
    world.here.feed.put(Kind.ROW, finished(0), row=0)
    world.run(RENEW_EVERY_S + 1)
    assert all_of(mirror.feed) == all_of(world.here.feed)


def test_measurement_that_the_runner_has_forgotten_ends_the_mirror(world: World) -> None:
    fill(world.here.feed)
    mirror = world.follow()
    mirror.feed.listen(lambda: None)
    world.run(2)
    world.runner = Runner(RUNNER, dropped=world.drop, wake=lambda: None)
    question = Follow(origin=FOLLOWERS[0], session=mirror.session, account=ACCOUNT, id=ID)
    world.runner.heard(question, world.now, addressed=True)
    world.run()
    assert mirror.feed.ended


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


def test_places_of_an_account_are_free_again(world: World) -> None:
    """Of both sides."""
    for _ in range(max(MAX_MIRRORS_OF_ACCOUNT, MAX_SESSIONS_OF_ACCOUNT) + 1):
        mirror = world.follow()
        world.run()
        assert mirror.state is State.FOLLOWED
        world.now += LINGER_S
        world.run(2 * TICK_S)
        assert mirror.ended


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


def test_each_session_has_its_turn_though_there_is_too_much_to_send(world: World) -> None:
    for number in range(120):
        question = Follow(origin=f"{number:032x}", session=1, account=ACCOUNT, id=ID)
        world.runner.heard(question, world.now, addressed=False)
    reached: set[str] = set()
    for row in range(3):
        world.here.feed.put(Kind.ROW, finished(row), row=row)
        reached.update(to for to, _ in world.runner.to_send(world.now))
        world.now += TICK_S
    assert len(reached) == 120


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
    fill(world.here.feed)
    mirror = world.follow()
    world.run()
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


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"".join(pack([Event(9, Kind.HOPS, b"{}", 0)])),
        b"".join(pack([Event(9, Kind.ROW, b"{}")])),
        b"".join(pack([Event(9, Kind.MESSAGE, b"{\n}")])),
    ],
    ids=["batch", "hops", "row", "lines"],
)
def test_invalid_events_end_the_mirror(world: World, data: bytes) -> None:
    mirror = world.follow()
    world.run()
    part = Part(origin=RUNNER, session=mirror.session, round=0, count=1, position=9, data=data)
    with pytest.raises(InvalidReportError):
        world.follower.heard(part, world.now)
    assert mirror.feed.ended
    assert world.follower.mirrors == 0


def test_mirrors_of_an_account_take_only_so_much(world: World) -> None:
    """The one that exceeds it ends, and leaves room for others."""
    size = 3 << 20
    row = b'{"x":"%s"}' % (b"x" * size)
    mirror = world.follow()
    world.run()
    while not mirror.ended:
        position = mirror.position + 1
        part = Part(
            origin=RUNNER,
            session=mirror.session,
            round=mirror.round,
            count=mirror.count,
            position=position,
            data=b"".join(pack([Event(position, Kind.ROW, row, 0)])),
        )
        world.follower.heard(part, world.now)
    assert mirror.taken > MAX_BYTES_OF_ACCOUNT > mirror.taken - 2 * size
    assert mirror.feed.closed
    assert world.dropped == {"size": 1}
    fill(world.here.feed)
    again = world.follow()
    world.run()
    assert again.state is State.FOLLOWED


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


def test_messages_of_a_stranger_change_nothing(world: World) -> None:
    """Neither with an unknown session, nor in the name of another coordinator."""
    fill(world.here.feed)
    mirror = world.follow()
    world.run()
    for origin, session in ((RUNNER, mirror.session + 1), ("d" * 32, mirror.session)):
        part = Part(origin=origin, session=session, round=0, count=1, position=99, data=b"x")
        world.follower.heard(part, world.now)
    assert (mirror.ended, mirror.broken) == (False, False)


def test_cancel_reaches_the_runner_once_though_messages_are_lost(world: World) -> None:
    lost: list[type[Message]] = []

    def loses(message: Message) -> bool:
        lost.append(type(message))
        return lost.count(type(message)) == 1

    world.loses = loses
    cancelling = world.follower.cancel(ACCOUNT, ID, world.now)
    assert cancelling is not None
    world.run(ANSWER_WITHIN_S)
    assert cancelling.done
    assert lost == [Cancel, Cancel, Cancelled, Cancel, Cancelled]
    assert world.here.cancelled == [ID]
    assert not world.follower.busy


def test_cancel_of_what_nobody_runs_is_not_confirmed(world: World) -> None:
    cancelling = world.follower.cancel(OTHER_ACCOUNT, ID, world.now)
    assert cancelling is not None
    world.run(2 * ANSWER_WITHIN_S)
    assert not cancelling.done
    assert world.here.cancelled == []
    assert world.number(Cancel) <= 4
    assert not world.follower.busy
