"""One time scale for everything: nanoseconds of CLOCK_MONOTONIC.

The kernel stamps a packet with the wall clock when it arrives. What lies between that and now is
the same on both clocks, so a stamp is carried over by both clocks' present readings.
"""

import time

now = time.monotonic_ns

# Two readings of one clock this close together had nothing between them but the other reading.
_UNDISTURBED_NS = 1_000
_TRIES = 5


# Reading by reading the clocks drift apart by much less; more shows that somebody set one.
_STEP_NS = 1_000_000

# A queue that is full to the brim is read in less, at a tenth of the speed that is usual.
_READ_WITHIN_NS = 2_000_000_000


def wall_offset() -> int:
    """What to add to a wall-clock stamp of the recent past to have it in monotonic time.

    Right to about half a microsecond: a process that was held up between the readings of the two
    clocks reads them again.
    """
    best_gap, offset = None, 0
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        wall = time.time_ns()
        gap = time.monotonic_ns() - before
        if best_gap is None or gap < best_gap:
            best_gap, offset = gap, before + gap // 2 - wall
        if gap < _UNDISTURBED_NS:
            break
    return offset


class WallClock:
    """Sees whether the wall clock is set; for all whose stamps are by it."""

    def __init__(self) -> None:
        self.steps = 0
        """How often it was set, as far as was seen."""
        self._offset = wall_offset()

    def offset(self) -> int:
        """As `wall_offset`; counts a step since the last time."""
        before, self._offset = self._offset, wall_offset()
        self.steps += abs(self._offset - before) >= _STEP_NS
        return self._offset


class StampedQueue:
    """How far a socket's queue has been read, and whether what is in it can be dated.

    Of packets that waited when the clock was set nobody knows which clock has stamped them, until
    the queue has been read to its end, or for so long that none of them can be left. Each reading
    is `begin`, `offset` if it brought anything, and `emptied` or `goes_on`; or `was_empty`.
    """

    def __init__(self, wall: WallClock) -> None:
        self.heard_until = now()
        """What arrived before that has been read."""
        self._wall = wall
        self._sure_of = self._steps_before = wall.steps
        self._began = self._unsure_since = 0

    def begin(self) -> None:
        """It is about to be read."""
        self._began, self._steps_before = now(), self._wall.steps

    def was_empty(self, at: int) -> None:
        """There was nothing to read at that time."""
        self.heard_until, self._steps_before = at, self._wall.steps
        self._be_sure()

    def offset(self) -> int | None:
        """What to add to the stamps that were just read; None where the clock was set meanwhile."""
        offset = self._wall.offset()
        if self._wall.steps == self._sure_of:
            return offset
        self._unsure_since = self._unsure_since or self._began
        return None

    def emptied(self) -> None:
        """There was no more to read."""
        self.heard_until = self._began
        self._be_sure()

    def goes_on(self, at: int | None) -> None:
        """More may wait; the last packet read arrived at that time, None where that is unsure."""
        if at is not None:
            self.heard_until = max(self.heard_until, at)
        elif self._unsure_since and self._began - self._unsure_since > _READ_WITHIN_NS:
            self._be_sure()

    def _be_sure(self) -> None:
        self._sure_of, self._unsure_since = self._steps_before, 0
