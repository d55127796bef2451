"""Spans of time in words."""

import re

_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WRITTEN = re.compile(r"([0-9]{1,6})([smhd])")


def span(seconds: float) -> str:
    """A span of time, rounded: "90 s", "3 hours", "6 days"."""
    if seconds < 600:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} hours"
    return f"{seconds / _DAY_S:.0f} days"


def seconds_in(text: str) -> int:
    """The seconds of a span as users write it, like "30m", "1h" or "7d".

    Raises:
        ValueError: it is written in another way.
    """
    found = _WRITTEN.fullmatch(text.strip().lower())
    if not found:
        raise ValueError(f"{text}: give a time like 30m, 1h or 7d")
    return int(found[1]) * _UNITS_S[found[2]]
