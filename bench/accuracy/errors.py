"""Errors of one contender under one condition, and what is said of them.

Percentiles are order statistics, and so are their intervals of confidence: whatever the errors'
distribution, the rank of a quantile among n samples is binomial (Conover, Practical Nonparametric
Statistics, 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

_NORMAL_95 = 1.96

# A responder that was not on its core for so long does not know when a packet came or left: its
# record is no truth then, whatever a tool reports. It reads every microsecond, and a write that
# wakes another core takes some tens.
_AWAY_READING_US = 20.0
_AWAY_WRITING_US = 100.0


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile, and where it lies with a confidence of 95 %; in µs."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class Errors:
    """Samples in µs, one a reply: the error, and what the responder says of itself."""

    error: list[npt.NDArray[np.float64]] = field(default_factory=list)
    unread: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """At most so long the probe lay in the device before it was read."""
    late: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """So much after its time the reply was written; no part of the error."""
    out: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """From the kernel's send stamp to the responder's reading, where the contender tells it."""
    back: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """From the responder's writing to the kernel's receive stamp, likewise."""
    lost: int = 0
    """Probes without a reported RTT, or whose record is not certain."""
    left_out: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """What the error would be of those that say nothing: the responder was away from its core."""

    def __len__(self) -> int:
        return sum(map(len, self.error))

    def add(
        self, reported_us: npt.NDArray[np.float64], records: npt.NDArray[Any]
    ) -> npt.NDArray[np.bool_]:
        """RTTs as reported, and the record of each; which of them are samples."""
        writing_us = (records["written_mono"] - records["write_mono"]) / 1e3
        there = (records["unread_ns"] / 1e3 <= _AWAY_READING_US) & (writing_us <= _AWAY_WRITING_US)
        error_us = reported_us - (records["write_mono"] - records["read_mono"]) / 1e3
        self.left_out.append(error_us[~there])
        self.error.append(error_us[there])
        records = records[there]
        self.unread.append(records["unread_ns"] / 1e3)
        self.late.append((records["write_mono"] - records["planned_mono"]) / 1e3)
        return there

    def all(self, what: str) -> npt.NDArray[np.float64]:
        """Every sample of one of the quantities, in the order in which they were taken."""
        arrays = getattr(self, what)
        return np.concatenate(arrays) if arrays else np.zeros(0)


def quantile(samples: npt.NDArray[np.float64], share: float) -> Quantile:
    """The sample below which that share lies, and its interval."""
    ordered = np.sort(samples)
    n = len(ordered)
    middle, spread = n * share, _NORMAL_95 * np.sqrt(n * share * (1 - share))

    def at(rank: float) -> float:
        return float(ordered[min(max(int(rank), 0), n - 1)])

    return Quantile(at(middle), at(middle - spread), at(np.ceil(middle + spread)))
