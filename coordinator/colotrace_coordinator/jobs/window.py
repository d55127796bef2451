"""How many jobs run at once: as many as the event loop keeps up with. Pure; times in seconds.

A job costs the loop most when its agent reports, and agents may all report together. The more jobs
run, the longer a turn of the loop can take, and everything else waits for that. So the window
shrinks after long turns and grows while turns are short, as a congestion window does (additive
increase, multiplicative decrease; Chiu and Jain 1989). Agents that take seconds leave the loop
idle, so that with them the window becomes wide.
"""

LEAST, FIRST, MOST = 32, 256, 20_000
LONG_TURN_S = 0.01
"""A turn of the loop that is too long."""
SHRINK, SHRINK_EVERY_S = 0.8, 0.05
GROW, GROW_EVERY_S = 1.1, 0.01


class Window:
    """The number of jobs that may run."""

    def __init__(self) -> None:
        self._size = float(FIRST)
        self._changed_at = 0.0

    @property
    def size(self) -> int:
        """Jobs that may run at once."""
        return int(self._size)

    def turned(self, took_s: float, now: float, *, running: int) -> None:
        """A turn of the loop took this long, while so many jobs ran and others waited."""
        passed_s = now - self._changed_at
        if took_s > LONG_TURN_S and passed_s >= SHRINK_EVERY_S:
            self._size = max(self._size * SHRINK, LEAST)
            self._changed_at = now
        elif running > self._size / 2 and took_s <= LONG_TURN_S and passed_s >= GROW_EVERY_S:
            self._size = min(self._size * GROW + 1, MOST)
            self._changed_at = now
