"""The token bucket by which routers and hosts limit their answers."""

from scenario.schema import Family, Limit


class Bucket:
    """Full at first; refilled continuously, as Linux's per-peer limit is."""

    def __init__(self, limit: Limit, *, family: Family) -> None:
        self._limit = limit
        own = limit.per_s6 if family == 6 else None
        self._per_s = limit.per_s if own is None else own
        self._tokens = float(limit.burst)
        self._at_ns: int | None = None

    def take(self, now_ns: int) -> bool:
        """Take a token if there is one."""
        if self._at_ns is not None:
            refill = (now_ns - self._at_ns) * self._per_s / 1e9
            self._tokens = min(float(self._limit.burst), self._tokens + refill)
        self._at_ns = now_ns
        # A nanosecond's arithmetic must not cost a token.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True
