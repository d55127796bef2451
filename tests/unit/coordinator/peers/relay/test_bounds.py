"""What an account, and a stranger, can cost a follower and a runner."""

import pytest
from colotrace_coordinator.errors import InvalidReportError
from colotrace_coordinator.live.feed import Event, Kind
from colotrace_coordinator.peers.relay.follower import (
    LINGER_S,
    MAX_BYTES_OF_ACCOUNT,
    MAX_MIRRORS_OF_ACCOUNT,
    State,
)
from colotrace_coordinator.peers.relay.messages import (
    MAX_EVENT,
    Ended,
    Follow,
    Part,
    decode,
    encode,
    pack,
)
from colotrace_coordinator.peers.relay.runner import ASKS_A_SECOND, MAX_SESSIONS_OF_ACCOUNT
from unit.coordinator.peers.relay.between import (
    ACCOUNT,
    FOLLOWERS,
    ID,
    OTHER_ACCOUNT,
    RUNNER,
    TICK_S,
    World,
    fill,
    finished,
    hops,
)


def test_measurement_with_an_event_that_is_too_large_is_not_followed(world: World) -> None:
    mirror = world.watched()
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


def test_places_of_an_account_are_free_again(world: World) -> None:
    """Of both sides."""
    for _ in range(max(MAX_MIRRORS_OF_ACCOUNT, MAX_SESSIONS_OF_ACCOUNT) + 1):
        mirror = world.follow()
        world.run()
        assert mirror.state is State.FOLLOWED
        world.now += LINGER_S
        world.run(2 * TICK_S)
        assert mirror.ended


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


_DEEP = b"[" * 50_000 + b"]" * 50_000


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"".join(pack([Event(9, Kind.HOPS, b"{}", 0)])),
        b"".join(pack([Event(9, Kind.ROW, b"{}")])),
        b"".join(pack([Event(9, Kind.MESSAGE, b"{\n}")])),
        b"".join(pack([Event(9, Kind.MESSAGE, b"no JSON")])),
        b"".join(pack([Event(9, Kind.MESSAGE, b'"\xff"')])),
        b"".join(pack([Event(9, Kind.HOPS, b'{"hops":[],"x":%s}' % _DEEP, 0)])),
        b"".join(pack([Event(9, Kind.HOPS, hops(0, 256), 0)])),
    ],
    ids=["batch", "hops", "row", "lines", "JSON", "UTF-8", "deep", "TTL"],
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


def test_empty_events_and_unfinished_batches_take_their_share(world: World) -> None:
    """They have memory though they have no data."""
    mirror = world.follow()
    world.run()
    event = b"".join(pack([Event(1, Kind.MESSAGE, b"1")]))
    part = Part(origin=RUNNER, session=mirror.session, round=0, count=1, position=1, data=event)
    world.follower.heard(part, world.now)
    taken = mirror.taken
    assert taken > 500
    first = Part(
        origin=RUNNER,
        session=mirror.session,
        round=0,
        count=2,
        position=2,
        pieces=2,
        data=bytes(1_000),
    )
    world.follower.heard(first, world.now)
    assert mirror.taken == taken + 1_000
    mirror.broken = True
    world.run()
    assert mirror.taken == taken


def test_messages_of_a_stranger_change_nothing(world: World) -> None:
    """Neither with an unknown session, nor in the name of another coordinator."""
    mirror = world.followed()
    for origin, session in ((RUNNER, mirror.session + 1), ("d" * 32, mirror.session)):
        part = Part(origin=origin, session=session, round=0, count=1, position=99, data=b"x")
        world.follower.heard(part, world.now)
    assert (mirror.ended, mirror.broken) == (False, False)
