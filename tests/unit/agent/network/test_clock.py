"""Who knows that the wall clock was set, and when it no longer matters."""

import itertools

import pytest
from colotrace_agent.network import clock

MS = 1_000_000


class Wall:
    """A wall clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.offset = 0
        self.around = (40, 40)
        """How far a look's bounds are from the truth, by which they differ."""
        monkeypatch.setattr(clock, "offset_bounds", self.bounds)

    def bounds(self) -> tuple[int, int]:
        """As `clock.offset_bounds`."""
        below, above = self.around
        return self.offset - below, self.offset + above

    def step(self, ms: int) -> None:
        """Forward, or back where that is negative."""
        self.offset -= ms * MS


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def reading(queue: clock.StampedQueue, *, emptied: bool = True) -> int | None:
    """One reading that brings something: the offset for it."""
    queue.begin()
    offset = queue.offset()
    if emptied:
        queue.emptied()
    return offset


def nothing(queue: clock.StampedQueue) -> None:
    """One reading that brings nothing."""
    queue.begin()
    queue.emptied()


def test_every_reader_learns_of_a_step(wall: Wall) -> None:
    """Whoever reads first does not use the news up for the others."""
    clocks = clock.WallClock()
    queues = [clock.StampedQueue(clocks) for _ in range(3)]
    assert [reading(queue) for queue in queues] == [0, 0, 0]
    wall.step(50)
    assert [reading(queue) for queue in queues] == [None, None, None]
    for queue in queues:
        nothing(queue)
    assert [reading(queue) for queue in queues] == [-50 * MS] * 3


def test_all_that_waited_is_unsure(wall: Wall) -> None:
    """A queue is read in several parts: until its end, each may be from before the step."""
    queue = clock.StampedQueue(clock.WallClock())
    wall.step(-50)
    for _ in range(3):
        assert reading(queue, emptied=False) is None
    assert reading(queue) is None
    nothing(queue)
    assert reading(queue) == 50 * MS


def test_a_step_in_the_midst_of_a_reading(wall: Wall) -> None:
    """What came between the reading and the step is still in the queue, stamped before it."""
    queue = clock.StampedQueue(clock.WallClock())
    queue.begin()
    wall.step(50)
    assert queue.offset() is None
    queue.emptied()
    assert reading(queue) is None
    assert reading(queue) == -50 * MS


def test_a_step_while_nothing_was_under_way_is_forgotten(wall: Wall) -> None:
    """It was seen before the first packet came that matters: all of them are stamped after it."""
    clocks = clock.WallClock()
    queue = clock.StampedQueue(clocks)
    wall.step(50)
    clocks.offset()
    nothing(queue)
    assert reading(queue) == -50 * MS


def test_what_is_never_emptied_is_sure_again_in_time(
    wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More comes than is read: what had waited when the clock was set is past all the same."""
    times = iter([1_000, 2_000, 3_000, 4_100, 4_100])
    monkeypatch.setattr(clock, "now", lambda: next(times) * MS)
    queue = clock.StampedQueue(clock.WallClock())
    wall.step(-50)
    for _ in range(3):
        assert reading(queue, emptied=False) is None
        queue.not_emptied(None)
        assert queue.read_until == 1_000 * MS
    assert reading(queue, emptied=False) == 50 * MS
    queue.not_emptied(4_000 * MS)
    assert queue.read_until == 4_000 * MS


def test_who_is_held_up_while_looking_moves_no_times(wall: Wall) -> None:
    """What lies between the clocks stays the same: the best looks so far count."""
    clocks = clock.WallClock()
    for held_up in ((9_000, 30), (10, 700_000), (10, 50), (3_000_000, 20)):
        wall.around = held_up
        assert abs(clocks.offset()) <= 40
    assert clocks.offset() == 5  # within 10 below and 20 above: no look may say otherwise
    assert clocks.steps == 0


def test_processors_that_disagree_on_the_time_are_no_step(wall: Wall) -> None:
    """By some microseconds: what is seen last counts."""
    queue = clock.StampedQueue(clock.WallClock())
    for moved_us in (3, -5, 4):
        wall.offset = moved_us * 1_000
        assert reading(queue) == moved_us * 1_000


def test_times_do_not_move_while_nothing_is_known_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """To loopback and back it is 0.15 us: what is sent by the first looks and heard by later ones
    must not arrive before it was sent."""
    looks = itertools.chain([(-90_000, 30)] * 5, itertools.repeat((-40, 40)))
    monkeypatch.setattr(clock, "offset_bounds", lambda: next(looks))
    clocks = clock.WallClock()
    assert [clocks.offset() for _ in range(9)] == [-5] * 9


def test_clocks_of_this_host_keep_their_distance() -> None:
    """Nobody sets it meanwhile: of hundreds of looks none contradicts the others."""
    clocks = clock.WallClock()
    first = clocks.offset()
    offsets = [clocks.offset() for _ in range(500)]
    assert clocks.steps == 0
    assert max(abs(offset - first) for offset in offsets) < 1_000
