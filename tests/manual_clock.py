"""A clock that a test sets."""

from dataclasses import dataclass


@dataclass
class ManualClock:
    """Seconds, monotonic or since 1970."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now
