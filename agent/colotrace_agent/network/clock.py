"""One time scale for everything: nanoseconds of CLOCK_MONOTONIC.

The kernel stamps a packet with the wall clock when it arrives. What lies between that and now is
the same on both clocks, so a stamp is carried over by both clocks' present readings.
"""

import time

now = time.monotonic_ns


def wall_offset() -> int:
    """What to add to a wall-clock stamp of the recent past to have it in monotonic time."""
    return time.monotonic_ns() - time.time_ns()


def arrival(stamp: int | None, *, offset: int, now: int) -> int:
    """When a packet arrived, in monotonic time.

    A stamp from the future shows that the wall clock was set meanwhile: then, as without a
    stamp, the packet counts as just arrived. The engine sees to stamps before the probe left.
    """
    if stamp is None or stamp + offset > now:
        return now
    return stamp + offset
