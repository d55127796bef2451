"""Token buckets that limit the rate of packets, one or many in arrays, and their rates.

A bucket gains `rate` tokens a second up to `burst`. Once it is empty, nothing leaves until it has
`grain` tokens again, so that sends stay batched. Times are monotonic nanoseconds.
"""

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

DEFAULT_RATE = 5_000
"""Packets a second, over all traces."""
DEFAULT_NEAR_RATE = 1_000
"""Packets a second that expire at the first hops, which all traces of a host share."""
NEAR_HOPS = 3
BURST = 512
TARGET_RATE = 1_000
"""Packets a second to one target."""
TARGET_BURST = 640
"""Packets to one target at once: a whole trace."""
STEP = 12
"""Most probes that one trace sends before others have their turn and answers are read."""
_GRAIN_S = 0.004

_Number = TypeVar("_Number", float, npt.NDArray[Any])


class Fill(NamedTuple):
    """The state of a bucket: its tokens at a time, and whether it has been empty since it last had
    `grain` of them."""

    level: float
    is_empty: bool
    at: int


class Bucket(NamedTuple):
    """The parameters and rules of a token bucket, on floats or on arrays of many buckets."""

    rate: float
    burst: float
    grain: int = 1

    def level(self, level: _Number, elapsed_ns: _Number) -> _Number:
        """The tokens after so much time without spending."""
        gained = level + elapsed_ns * self.rate / 1e9
        return gained * (gained <= self.burst) + self.burst * (gained > self.burst)

    def is_empty(self, level: _Number, was_empty: _Number) -> _Number:
        """Whether nothing may leave."""
        return level < 1 + (self.grain - 1) * was_empty

    def wait_ns(self, level: float, packets: int) -> int:
        """Nanoseconds until that many may leave."""
        missing = min(packets, self.burst) - level
        return max(int(missing * 1e9 / self.rate) + 1, 0)

    def is_full(self, level: _Number, elapsed_ns: _Number) -> _Number:
        """Whether the bucket is full, as a new one is."""
        return self.level(level, elapsed_ns) >= self.burst


def grain_of(rate: float) -> int:
    """The tokens to wait for after exhaustion: those of a few milliseconds."""
    return max(int(rate * _GRAIN_S), 1)


def shared_bucket(rate: float) -> Bucket:
    """The bucket of packets to all targets, or of those to the first hops."""
    return Bucket(rate, max(BURST, int(rate / 50)), grain_of(rate))


TARGET_BUCKET = Bucket(TARGET_RATE, TARGET_BURST, grain_of(TARGET_RATE))
"""The bucket of packets to one target."""


class Budget:
    """One token bucket, full at first."""

    __slots__ = ("_at", "_bucket", "_is_empty", "_level", "users")

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._level = float(bucket.burst)
        self._is_empty = False
        self._at = 0
        self.users = 0
        """Traces that share it; counted by its owner."""

    def available(self, now: int) -> int:
        """Packets that may leave now."""
        if now > self._at:
            self._level = self._bucket.level(self._level, now - self._at)
            self._at = now
        self._is_empty = bool(self._bucket.is_empty(self._level, self._is_empty))
        return 0 if self._is_empty else int(self._level)

    def spend(self, packets: int) -> None:
        """Spend tokens for packets that have left."""
        self._level -= packets

    def is_full(self, now: int) -> bool:
        """Whether the bucket is full, as a new one is."""
        return bool(self._bucket.is_full(self._level, now - self._at))

    def ready_at(self, packets: int | None = None) -> int:
        """When that many packets may leave; without a number, when any may after exhaustion."""
        return self._at + self._bucket.wait_ns(self._level, packets or self._bucket.grain)


class Budgets:
    """Many equal token buckets in arrays, by line. Each line occurs once in `lines`."""

    def __init__(self, count: int, bucket: Bucket) -> None:
        self._bucket = bucket
        self._levels = np.full(count, float(bucket.burst))
        self._is_empty = np.zeros(count, np.bool_)
        self._at = np.zeros(count, np.int64)

    def available(self, lines: npt.NDArray[np.intp], now: int) -> npt.NDArray[np.int64]:
        """Packets that may leave now, by line."""
        elapsed = np.maximum(now - self._at[lines], 0)
        levels = self._bucket.level(self._levels[lines], elapsed)
        self._levels[lines] = levels
        self._at[lines] = np.maximum(self._at[lines], now)
        is_empty = self._bucket.is_empty(levels, self._is_empty[lines])
        self._is_empty[lines] = is_empty
        return np.where(is_empty, 0, levels).astype(np.int64)

    def spend(self, lines: npt.NDArray[np.intp], packets: npt.NDArray[np.int64]) -> None:
        """Spend tokens for packets that have left."""
        self._levels[lines] -= packets

    def ready_at(self, line: int) -> int:
        """When packets of that line may leave again, after exhaustion."""
        level = float(self._levels[line])
        return int(self._at[line]) + self._bucket.wait_ns(level, self._bucket.grain)

    def is_full(self, lines: npt.NDArray[np.intp], now: int) -> npt.NDArray[np.bool_]:
        """A mask of the buckets that are full."""
        return self._bucket.is_full(self._levels[lines], now - self._at[lines])

    def take_out(self, line: int) -> Fill:
        """The state of one bucket, for `put_back`."""
        return Fill(float(self._levels[line]), bool(self._is_empty[line]), int(self._at[line]))

    def put_back(self, line: int, state: Fill) -> None:
        """Restore a state from `take_out`."""
        self._levels[line], self._is_empty[line], self._at[line] = state

    def fill(self, lines: npt.NDArray[np.intp]) -> None:
        """Fill these buckets."""
        self._levels[lines], self._is_empty[lines], self._at[lines] = self._bucket.burst, False, 0
