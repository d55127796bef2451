"""How quickly an agent answers if nothing delays it. Pure; times in seconds."""

import math
from dataclasses import dataclass

ASSUMED_S = 0.2
"""Assumed until the first answer, which may have been delayed itself."""
PERIOD_S = 300.0
"""The quickest answer of the last one or two periods counts, since paths change."""


@dataclass(slots=True)
class Quickest:
    """An agent's quickest answers."""

    first_at: float = math.inf
    since: float = -math.inf
    now_s: float = math.inf
    before_s: float = math.inf

    def add(self, asked_at: float, now: float) -> float:
        """Count the answer to a message of `asked_at`; returns how long the agent itself needs."""
        took_s = now - asked_at
        self.first_at = min(self.first_at, now)
        if now - self.since >= PERIOD_S:
            fresh = now - self.since < 2 * PERIOD_S
            self.before_s = self.now_s if fresh else math.inf
            self.now_s, self.since = math.inf, now
        self.now_s = min(self.now_s, took_s)
        if asked_at <= self.first_at:
            return min(took_s, ASSUMED_S)
        return min(self.now_s, self.before_s)
