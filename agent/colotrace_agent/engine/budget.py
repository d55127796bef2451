"""How many packets may leave now: a token bucket over all traces."""

_GRAIN_S = 0.004


class Budget:
    """`rate` packets a second on average, at most `burst` of them at once.

    Once it is used up, none may leave until there are `grain`: so that who asks often does not
    send them one by one.
    """

    __slots__ = ("_at", "_burst", "_grain", "_level", "_rate", "_used_up", "users")

    def __init__(self, *, rate: float, burst: int, grain: int = 1) -> None:
        self._rate = rate
        self._burst = burst
        self._grain = min(grain, burst)
        self._level = float(burst)
        self._used_up = False
        self._at = 0
        self.users = 0
        """Whoever shares it; for its owner to count."""

    def available(self, now: int) -> int:
        """Packets that may leave now."""
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate / 1e9)
            self._at = now
        if self._level < (self._grain if self._used_up else 1):
            self._used_up = True
            return 0
        self._used_up = False
        return int(self._level)

    def spend(self, packets: int) -> None:
        """Takes packets that have left from what may leave."""
        self._level -= packets

    def ready_at(self, packets: int | None = None) -> int:
        """When that many packets may leave, or else any, if it is used up."""
        missing = min(packets or self._grain, self._burst) - self._level
        return self._at + max(int(missing * 1e9 / self._rate) + 1, 0)


def grain_of(rate: float) -> int:
    """How many packets to wait for where a budget is used up: as many as it gains in a few
    milliseconds, so that nobody is woken for each."""
    return max(int(rate * _GRAIN_S), 1)
