"""Converts kernel time stamps to the agent's time scale, nanoseconds of CLOCK_MONOTONIC.

The kernel stamps packets with the wall clock. The offset between the two clocks is constant unless
the wall clock is set, so a stamp is converted by adding the offset.
"""

import time

now = time.monotonic_ns

# A pair of readings with narrower bounds was not interrupted.
_UNDISTURBED_NS = 1_000
_TRIES = 5
# Samples needed to narrow the offset below a loopback RTT.
_FIRST_SAMPLES = 50

# Smaller changes of the offset come from differences between processors.
_STEP_NS = 10_000

# Upper bound of the time to read a full queue, at a tenth of the usual speed.
_READ_WITHIN_NS = 2_000_000_000


def offset_bounds() -> tuple[int, int]:
    """Bounds of the offset monotonic - wall, from one pair of readings; far apart if the process
    was interrupted between them."""
    before = time.monotonic_ns()
    wall = time.time_ns()
    return before - wall, time.monotonic_ns() - wall


def _closer_bounds() -> tuple[int, int]:
    lows, highs = zip(*(offset_bounds() for _ in range(_FIRST_SAMPLES)), strict=True)
    return max(lows), min(highs)


class WallClock:
    """The offset monotonic - wall, and steps of the wall clock.

    NTP slews both clocks alike (clock_gettime(2)), so the offset changes only if the wall clock is
    set. Each sample narrows the bounds of the offset, to some tens of nanoseconds. A sample that
    contradicts the bounds shows a step.
    """

    def __init__(self) -> None:
        self.steps = 0
        """Number of steps seen."""
        self._low, self._high = _closer_bounds()

    def offset(self) -> int:
        """The offset to add to a recent wall-clock stamp, after checking for a step."""
        for _ in range(_TRIES):
            low, high = offset_bounds()
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
    """How far a socket's queue has been read, and whether its stamps can be converted.

    After a step of the wall clock, stamps in the queue may be from before or after the step. They
    are not converted until the queue was empty, or was read for so long that no older packet is
    left. Each read calls `begin`, then `offset` if it returned packets, then `emptied` or
    `not_emptied`. If the queue is known to be empty, call only `was_empty`.
    """

    def __init__(self, wall: WallClock) -> None:
        self.read_until = now()
        """All packets that arrived before this time have been read."""
        self._wall = wall
        self._sure_of = self._steps_before = wall.steps
        self._began = self._unsure_since = 0

    def begin(self) -> None:
        """The queue is about to be read."""
        self._began, self._steps_before = now(), self._wall.steps

    def was_empty(self, at: int) -> None:
        """The queue was empty at that time."""
        self.read_until, self._steps_before = at, self._wall.steps
        self._be_sure()

    def offset(self) -> int | None:
        """The offset for the stamps just read; None if the clock was set in the meantime."""
        offset = self._wall.offset()
        if self._wall.steps == self._sure_of:
            return offset
        self._unsure_since = self._unsure_since or self._began
        return None

    def emptied(self) -> None:
        """The queue was read to its end."""
        self.read_until = self._began
        self._be_sure()

    def not_emptied(self, at: int | None) -> None:
        """More packets may wait; `at` is the arrival of the last packet, None if not known."""
        if at is not None:
            self.read_until = max(self.read_until, at)
        elif self._unsure_since and self._began - self._unsure_since > _READ_WITHIN_NS:
            self._be_sure()

    def _be_sure(self) -> None:
        self._sure_of, self._unsure_since = self._steps_before, 0
