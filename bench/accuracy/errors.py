"""Errors of one tool under one condition, and their quantiles.

Quantiles and their confidence intervals are order statistics, which hold for any distribution: the
rank of a quantile among n samples is binomial (Conover, Practical Nonparametric Statistics, 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

_NORMAL_95 = 1.96

# If the responder lost its core for longer, its record is not accurate, and the sample is not used.
# It normally reads every microsecond; a write that wakes another core takes some tens of them.
_AWAY_READING_US = 20.0
_AWAY_WRITING_US = 100.0


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile and its 95 % confidence interval, in µs."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class Errors:
    """Samples in µs, one for each reply: the error, and the responder's own delays."""

    error: list[npt.NDArray[np.float64]] = field(default_factory=list)
    unread: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """Upper bound of the time that the probe waited in the device."""
    late: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """Delay of the reply beyond its planned time; not part of the error."""
    out: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """From the kernel's send stamp to the responder's read, if the tool has the stamp."""
    back: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """From the responder's write to the kernel's receive stamp, if the tool has the stamp."""
    lost: int = 0
    """Probes without a reported RTT or without a certain record."""
    left_out: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """Errors of replies that are not used because the responder had lost its core."""

    def __len__(self) -> int:
        return sum(map(len, self.error))

    def add(
        self, reported_us: npt.NDArray[np.float64], records: npt.NDArray[Any]
    ) -> npt.NDArray[np.bool_]:
        """Add reported RTTs with their records; the result says which are used."""
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
        """All samples of a quantity, in order."""
        arrays = getattr(self, what)
        return np.concatenate(arrays) if arrays else np.zeros(0)


def quantile(samples: npt.NDArray[np.float64], share: float) -> Quantile:
    """The quantile for `share`, with its confidence interval."""
    ordered = np.sort(samples)
    n = len(ordered)
    middle, spread = n * share, _NORMAL_95 * np.sqrt(n * share * (1 - share))

    def at(rank: float) -> float:
        return float(ordered[min(max(int(rank), 0), n - 1)])

    return Quantile(at(middle), at(middle - spread), at(np.ceil(middle + spread)))
