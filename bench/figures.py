"""Samples, and what is said of them: medians and spread, never a mean that one stall moves."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

BEYOND = "beyond longest RTT"
"""Wall time less the longest round trip of the path, as drawn: the tracer's own share."""


class BenchError(Exception):
    """Something cannot be measured here; the text says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity of one contender at one piece of work."""

    work: str
    who: str
    quantity: str
    unit: str
    samples: tuple[float, ...]
    at_most: float | None = None
    """What is to be reached, by the median."""
    note: str = ""

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between them lies the middle half of the samples."""
        if len(self.samples) < 2:
            return self.samples[0], self.samples[0]
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def reached(self) -> bool | None:
        """Whether the median is where it should be; None where nothing was asked."""
        return None if self.at_most is None else self.median <= self.at_most


@dataclass(slots=True)
class Run:
    """One run of one contender: its quantities, and whether it found the whole path."""

    values: dict[str, float]
    complete: bool = True


@dataclass(slots=True)
class Samples:
    """All runs of one contender."""

    runs: list[Run] = field(default_factory=list)

    def of(self, quantity: str) -> tuple[float, ...]:
        """Every run's value, in the order of the runs."""
        return tuple(run.values[quantity] for run in self.runs)

    @property
    def incomplete(self) -> str:
        """A note on runs that missed answers; they stay among the samples."""
        missed = sum(not run.complete for run in self.runs)
        return f"{missed} of {len(self.runs)} runs missed answers" if missed else ""


Contender = Callable[[], Run]


def alternate(
    contenders: Mapping[str, Contender],
    *,
    runs: int,
    tick: Callable[[int], object] = lambda _: None,
) -> dict[str, Samples]:
    """Run each contender in turn, `runs` times after one that does not count.

    Who begins changes from round to round, so that nobody always follows the same one.
    """
    names = list(contenders)
    samples = {name: Samples() for name in names}
    for number in range(runs + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            run = contenders[name]()
            if number:
                samples[name].runs.append(run)
        tick(number)
    return samples
