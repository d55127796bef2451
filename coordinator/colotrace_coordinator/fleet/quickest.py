"""How quickly an agent answers if nothing delays it. Pure; times in seconds."""

import math
from dataclasses import dataclass

ASSUMED_S = 0.2
"""Assumed at most until the first answer, which may have been delayed itself."""
PERIOD_S = 300.0
"""The quickest answer of the last one or two periods counts, since paths change."""


@dataclass(slots=True)
class Quickest:
    """An agent's quickest answers."""

    first_at: float = math.inf
    since: float = -math.inf
    current_s: float = math.inf
    previous_s: float = math.inf

    def add(self, asked_at: float, now: float) -> float:
        """Count the answer to a message of `asked_at`; returns how long the agent itself needs."""
        took_s = now - asked_at
        if now - self.since >= 2 * PERIOD_S:  # nothing is known, or nothing any more
            self.first_at, self.since = now, now
            self.current_s = self.previous_s = math.inf
        elif now - self.since >= PERIOD_S:
            self.previous_s, self.current_s, self.since = self.current_s, math.inf, now
        self.current_s = min(self.current_s, took_s)
        if asked_at <= self.first_at:
            return min(took_s, ASSUMED_S)
        return min(self.current_s, self.previous_s)
