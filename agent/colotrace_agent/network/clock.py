"""One time scale for everything: nanoseconds of CLOCK_MONOTONIC.

The kernel stamps a packet with the wall clock when it arrives. What lies between that and now is
the same on both clocks, so a stamp is carried over by both clocks' present readings.
"""

import time

now = time.monotonic_ns

# Two readings of one clock this close together had nothing between them but the other reading.
_UNDISTURBED_NS = 1_000
_TRIES = 5


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


def arrival(stamp: int | None, *, offset: int, now: int) -> int:
    """When a packet arrived, in monotonic time.

    A stamp from the future shows that the wall clock was set meanwhile: then, as without a
    stamp, the packet counts as just arrived. The engine sees to stamps before the probe left.
    """
    if stamp is None or stamp + offset > now:
        return now
    return stamp + offset
