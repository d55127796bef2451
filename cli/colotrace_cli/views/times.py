"""Times as people read them."""

from datetime import UTC, datetime

from colotrace_proto.layout import TextOutput


def short_time(text: str, on: TextOutput) -> str:
    """An RFC 3339 time to the second, in UTC, as `2026-11-28 20:15:02Z`; another text as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return on.text(text, most=32)
    if when.tzinfo is not None:
        when = when.astimezone(UTC)
    return f"{when:%Y-%m-%d %H:%M:%S}Z"


def duration(ms: int | None) -> str:
    """Milliseconds as `1.2 s`; "" if unknown."""
    return "" if ms is None else f"{ms / 1000:.1f} s"
