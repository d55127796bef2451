"""When the next attempt to attach begins, and how long it may take: pure, in seconds.

Thousands of agents lose a coordinator at the same moment. Three rules keep them from overloading
the next one: their attempts are spread by random pauses, an attempt may take longer after each that
failed, and the pause is longer after an attempt that took long. Without the second rule all agents
would give up, and begin again, as soon as the coordinator needs more time for all handshakes
together than an agent waits for one (congestion collapse).
"""

import random
from collections.abc import Callable

MIN_PAUSE_S = 0.2
MAX_PAUSE_S = 2.0
"""A restarted coordinator is found within 2 s, and one that stays away costs little."""
MAX_SLOW_PAUSE_S = 5.0
"""Longest pause after a slow attempt, which shows that the coordinator is overloaded."""
REFUSED_PAUSE_S = 10.0
"""Pause after a status that only an operator can resolve."""
SPREAD_S = 1.0
"""An agent without jobs begins its first attempt after a stream within this time."""
ATTEMPT_S = 10.0
MAX_ATTEMPT_S = 40.0
"""Timeout of an attempt, from the connection to the Welcome: of the first, and of any."""


class BackOff:
    """Pauses and timeouts of the attempts to attach to one coordinator."""

    def __init__(self, *, uniform: Callable[[float, float], float] = random.uniform) -> None:
        """`uniform` draws a number between two bounds."""
        self._uniform = uniform
        self._pause_s = MIN_PAUSE_S
        self.attempt_s = ATTEMPT_S
        """Timeout of the next attempt."""

    def detached(self, *, busy: bool) -> float:
        """The pause after a stream that was up. `busy`: jobs run, which the coordinator gives up
        after `deadlines.RECONNECT_S`."""
        self._pause_s, self.attempt_s = MIN_PAUSE_S, ATTEMPT_S
        return self._jittered(MIN_PAUSE_S) if busy else self._uniform(0.0, SPREAD_S)

    def failed(self, took_s: float) -> float:
        """The pause after an attempt that took so long and failed."""
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        self.attempt_s = min(2 * self.attempt_s, MAX_ATTEMPT_S)
        return self._jittered(max(self._pause_s, min(took_s, MAX_SLOW_PAUSE_S)))

    def refused(self) -> float:
        """The pause after a refusal."""
        return self._jittered(REFUSED_PAUSE_S)

    def _jittered(self, pause_s: float) -> float:
        return self._uniform(0.5 * pause_s, pause_s)
