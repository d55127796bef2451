"""Ids of measurements: 32 hexadecimal digits that sort by time (UUID version 7, RFC 9562)."""

import re
import secrets
from collections.abc import Callable

_ID = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")
_COUNTER_BITS = 12


def is_id(text: str) -> bool:
    """Whether the text is the id of a measurement."""
    return _ID.fullmatch(text) is not None


def began_ms(measurement_id: str) -> int:
    """When the measurement of an id began, in milliseconds of Unix time of its coordinator."""
    return int(measurement_id[:12], 16)


class Ids:
    """Makes the ids of one process: each is greater than the one before, even if the wall clock is
    set back (RFC 9562 section 6.2, method 1)."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """`now_ms`: milliseconds of Unix time."""
        self._now_ms = now_ms
        self._last = 0

    def new(self) -> str:
        """A new id."""
        self._last = max(self._now_ms() << _COUNTER_BITS, self._last + 1)
        at_ms, counter = divmod(self._last, 1 << _COUNTER_BITS)
        variant = secrets.randbits(62) | 1 << 63
        return f"{at_ms:012x}7{counter:03x}{variant:016x}"
