"""How many packets may leave now: a token bucket over all traces."""

_GRAIN_S = 0.004


class Budget:
    """`rate` packets a second on average, at most `burst` of them at once."""

    def __init__(self, *, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._level = float(burst)
        self._at = 0
        self.users = 0
        """Whoever shares it; for its owner to count."""

    def available(self, now: int) -> int:
        """Packets that may leave now."""
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate / 1e9)
            self._at = now
        return int(self._level)

    def spend(self, packets: int) -> None:
        """Takes packets that have left from what may leave."""
        self._level -= packets

    def ready_at(self, packets: int) -> int:
        """When that many packets may leave."""
        missing = min(packets, self._burst) - self._level
        return self._at + max(int(missing * 1e9 / self._rate) + 1, 0)


def grain_of(rate: float) -> int:
    """How many packets to wait for where a budget is used up: as many as it gains in a few
    milliseconds, so that nobody is woken for each."""
    return max(int(rate * _GRAIN_S), 1)
