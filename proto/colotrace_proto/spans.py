"""Spans of time in words."""

_HOUR_S, _DAY_S = 3_600.0, 86_400.0


def span(seconds: float) -> str:
    """A span of time, rounded: "90 s", "3 hours", "6 days"."""
    if seconds < 600:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} hours"
    return f"{seconds / _DAY_S:.0f} days"
