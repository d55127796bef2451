"""Who knows that the wall clock was set, and when it no longer matters."""

import pytest
from colotrace_agent.network import clock

MS = 1_000_000


class Wall:
    """A wall clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.offset = 0
        monkeypatch.setattr(clock, "wall_offset", lambda: self.offset)

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
        queue.goes_on(None)
        assert queue.heard_until == 1_000 * MS
    assert reading(queue, emptied=False) == 50 * MS
    queue.goes_on(4_000 * MS)
    assert queue.heard_until == 4_000 * MS


def test_drift_is_no_step(wall: Wall) -> None:
    """The clocks drift apart by less than a millisecond between two looks."""
    queue = clock.StampedQueue(clock.WallClock())
    for drift_us in (300, 900, 1_500):
        wall.offset = drift_us * 1_000
        assert reading(queue) == drift_us * 1_000
