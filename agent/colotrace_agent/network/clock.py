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
    """Carries stamps over, and knows when it cannot."""

    def __init__(self) -> None:
        self._offset = wall_offset()

    def offset(self) -> int | None:
        """As `wall_offset`; None where the wall clock was set since the last time: stamps that
        were waiting may be from before that, or from after."""
        offset, before = wall_offset(), self._offset
        self._offset = offset
        return offset if abs(offset - before) < _STEP_NS else None
