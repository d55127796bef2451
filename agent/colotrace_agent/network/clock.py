"""One time scale for everything: nanoseconds of CLOCK_MONOTONIC.

The kernel stamps a packet with the wall clock when it arrives. What lies between the two clocks is
always the same while nobody sets the one, so a stamp is carried over by adding it.
"""

import time

now = time.monotonic_ns

# Two readings of one clock this close together had nothing between them but the other reading.
_UNDISTURBED_NS = 1_000
_TRIES = 5
_LOOKS_AT_FIRST = 50

# What lies between the clocks seems to move by less where processors disagree on the time.
_STEP_NS = 10_000

# A queue that is full to the brim is read in less, at a tenth of the speed that is usual.
_READ_WITHIN_NS = 2_000_000_000


def wall_bounds() -> tuple[int, int]:
    """Between which values lies what is to be added to the wall clock's time to have monotonic
    time, by one look; far apart where the process was held up between its readings."""
    before = time.monotonic_ns()
    wall = time.time_ns()
    return before - wall, time.monotonic_ns() - wall


def _closer_bounds() -> tuple[int, int]:
    """By so many looks that what later ones can add is less than a packet takes to loopback."""
    lows, highs = zip(*(wall_bounds() for _ in range(_LOOKS_AT_FIRST)), strict=True)
    return max(lows), min(highs)


class WallClock:
    """What lies between the wall clock and monotonic time, for all whose stamps are by it; and
    whether the wall clock is set.

    NTP slews both clocks alike (clock_gettime(2)), so that what lies between them never changes,
    unless the wall clock is set. So each look narrows the bounds of it, to some tens of
    nanoseconds, and one that contradicts them shows a step.
    """

    def __init__(self) -> None:
        self.steps = 0
        """How often it was set, as far as was seen."""
        self._low, self._high = _closer_bounds()

    def offset(self) -> int:
        """What to add to a wall-clock stamp of the recent past to have it in monotonic time.

        Looks whether the clock was set since the last time.
        """
        for _ in range(_TRIES):
            low, high = wall_bounds()
            if high - low < _UNDISTURBED_NS:
                break
        moved = max(self._low - high, low - self._high)
        if moved > 0:
            self.steps += moved >= _STEP_NS
            self._low, self._high = _closer_bounds()
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)
        return (self._low + self._high) // 2


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
