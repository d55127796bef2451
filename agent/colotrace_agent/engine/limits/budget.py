"""How many packets may leave now: token buckets, one or many at once."""

import numpy as np
import numpy.typing as npt

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

    def is_whole(self, now: int) -> bool:
        """Whether it is as if it had never been used."""
        return self._level + (now - self._at) * self._rate / 1e9 >= self._burst

    def ready_at(self, packets: int | None = None) -> int:
        """When that many packets may leave, or else any, if it is used up."""
        missing = min(packets or self._grain, self._burst) - self._level
        return self._at + max(int(missing * 1e9 / self._rate) + 1, 0)


class Budgets:
    """Many budgets with the same bounds, by number, in arrays; the same rule as `Budget`.

    `lines` name budgets, each at most once.
    """

    def __init__(self, count: int, *, rate: float, burst: int, grain: int) -> None:
        self._rate = rate
        self._burst = burst
        self._grain = min(grain, burst)
        self._levels = np.full(count, float(burst))
        self._used_up = np.zeros(count, np.bool_)
        self._at = np.zeros(count, np.int64)

    def available(self, lines: npt.NDArray[np.intp], now: int) -> npt.NDArray[np.int64]:
        """Packets that may leave now, of each."""
        past = np.maximum(now - self._at[lines], 0)
        levels = np.minimum(self._burst, self._levels[lines] + past * self._rate / 1e9)
        self._levels[lines] = levels
        self._at[lines] = np.maximum(self._at[lines], now)
        used_up = levels < np.where(self._used_up[lines], self._grain, 1)
        self._used_up[lines] = used_up
        allowed: npt.NDArray[np.int64] = np.where(used_up, 0, levels).astype(np.int64)
        return allowed

    def spend(self, lines: npt.NDArray[np.intp], packets: npt.NDArray[np.int64]) -> None:
        """Takes packets that have left from what may leave."""
        self._levels[lines] -= packets

    def ready_at(self, line: int) -> int:
        """When packets of that one may leave again, if it is used up."""
        missing = self._grain - float(self._levels[line])
        return int(self._at[line]) + max(int(missing * 1e9 / self._rate) + 1, 0)

    def is_whole(self, lines: npt.NDArray[np.intp], now: int) -> npt.NDArray[np.bool_]:
        """Which are as if they had never been used."""
        gained = (now - self._at[lines]) * self._rate / 1e9
        whole: npt.NDArray[np.bool_] = self._levels[lines] + gained >= self._burst
        return whole

    def take_out(self, line: int) -> tuple[float, bool, int]:
        """The state of one, for `put_back`."""
        return float(self._levels[line]), bool(self._used_up[line]), int(self._at[line])

    def put_back(self, line: int, state: tuple[float, bool, int]) -> None:
        """Goes on with that state."""
        self._levels[line], self._used_up[line], self._at[line] = state

    def make_whole(self, lines: npt.NDArray[np.intp]) -> None:
        """Begins anew."""
        self._levels[lines], self._used_up[lines], self._at[lines] = self._burst, False, 0


def grain_of(rate: float) -> int:
    """How many packets to wait for where a budget is used up: as many as it gains in a few
    milliseconds, so that nobody is woken for each."""
    return max(int(rate * _GRAIN_S), 1)
