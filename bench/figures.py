"""Samples, and what is said of them: medians and spread, never a mean that one stall moves."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

BEYOND = "beyond longest RTT"
"""Wall time less the longest round trip of the path, as drawn: the tracer's own share."""


class BenchError(Exception):
    """Something cannot be measured here; the text says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity of one contender at one piece of work; no samples where it could not be had."""

    work: str
    who: str
    quantity: str
    unit: str
    samples: tuple[float, ...]
    at_most: float | None = None
    """What is to be reached, by the median."""
    at_least: float | None = None
    note: str = ""
    """What limits it, and what it is not."""

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
        """Whether the median is where it should be; None where nothing was asked, or measured."""
        if not self.samples or self.at_most is self.at_least is None:
            return None
        low = self.at_least is None or self.median >= self.at_least
        return low and (self.at_most is None or self.median <= self.at_most)

    def bounded(
        self, *, at_most: float | None = None, at_least: float | None = None, note: str = ""
    ) -> Figure:
        """The same with what is to be reached, and a note more."""
        note = "; ".join(filter(None, [self.note, note]))
        return replace(self, at_most=at_most, at_least=at_least, note=note)


@dataclass(slots=True)
class Run:
    """One run of one contender: its quantities, and whether it found the whole path."""

    values: dict[str, float]
    complete: bool = True
    limit: str = ""
    """What this run could not be faster than."""


@dataclass(slots=True)
class Samples:
    """All runs of one contender."""

    runs: list[Run] = field(default_factory=list)
    failure: str = ""
    """Why there are none, or no more."""

    def of(self, quantity: str) -> tuple[float, ...]:
        """Every run's value, in the order of the runs; a run may be without."""
        return tuple(float(run.values[quantity]) for run in self.runs if quantity in run.values)

    @property
    def quantities(self) -> list[str]:
        """What the runs have told of."""
        return list(dict.fromkeys(name for run in self.runs for name in run.values))

    @property
    def limit(self) -> str:
        """The most frequent limit of the runs."""
        return statistics.mode([run.limit for run in self.runs]) if self.runs else ""

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
    seldom: Mapping[str, int] | None = None,
    may_fail: Collection[str] = (),
    warm: bool = True,
) -> dict[str, Samples]:
    """Run each contender in turn, `runs` times, after one that does not count where `warm`.

    Who begins changes from round to round, so that nobody always follows the same one. The slow
    ones of `seldom` run only so often in all, spread over the rounds, and are not warmed up. One
    of `may_fail` that fails is left out from then on, and what it has given stays.

    Raises:
        BenchError: another one failed.
    """
    names = list(contenders)
    samples = {name: Samples() for name in names}
    for number in range(0 if warm else 1, runs + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            often = min((seldom or {}).get(name, runs), runs)
            if samples[name].failure or not _due(number, often, runs):
                continue
            try:
                run = contenders[name]()
            except BenchError as error:
                if name not in may_fail:
                    raise
                samples[name].failure = " ".join(str(error).split())[-300:]
                continue
            if number:
                samples[name].runs.append(run)
    return samples


def _due(number: int, often: int, runs: int) -> bool:
    if number == 0:
        return often == runs
    return number * often // runs > (number - 1) * often // runs


def figures_of(
    work: str, samples: Mapping[str, Samples], units: Mapping[str, str], notes: Mapping[str, str]
) -> list[Figure]:
    """A figure of each quantity of each contender; what it lacks is said with its first."""
    found = []
    for who, taken in samples.items():
        said = [notes.get(who, ""), taken.incomplete]
        if taken.failure:
            said.append(f"{'not available' if not taken.runs else 'then failed'}: {taken.failure}")
        note = "; ".join(filter(None, [*said, taken.limit and f"limit: {taken.limit}"]))
        for quantity in taken.quantities:
            unit = units.get(quantity, "ms")
            found.append(Figure(work, who, quantity, unit, taken.of(quantity), note=note))
            note = ""
        if taken.failure and not taken.runs:
            found.append(Figure(work, who, "", "", (), note=note))
    return found
