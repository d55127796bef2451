"""Samples and their statistics: medians and quartiles, since one stall would distort a mean."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

BEYOND = "beyond longest RTT"
"""Wall time minus the longest RTT: the tracer's own share. The RTT is the path's configured one,
or, through the whole stack, the longest in the answer."""


class BenchError(Exception):
    """A measurement failed or is not possible here; the text has the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity of one tool for one task; without samples if it could not be measured."""

    work: str
    label: str
    """The measured program, with its options or conditions."""
    quantity: str
    unit: str
    samples: tuple[float, ...]
    at_most: float | None = None
    """Required upper bound of the median."""
    at_least: float | None = None
    note: str = ""
    """Its limit, and caveats."""

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile."""
        if len(self.samples) < 2:
            return self.samples[0], self.samples[0]
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def reached(self) -> bool | None:
        """Whether the median is within its bounds; None without bounds or samples."""
        if not self.samples or self.at_most is self.at_least is None:
            return None
        low = self.at_least is None or self.median >= self.at_least
        return low and (self.at_most is None or self.median <= self.at_most)

    def bounded(
        self, *, at_most: float | None = None, at_least: float | None = None, note: str = ""
    ) -> Figure:
        """A copy with bounds and a further note."""
        note = "; ".join(filter(None, [self.note, note]))
        return replace(self, at_most=at_most, at_least=at_least, note=note)


@dataclass(slots=True)
class Run:
    """One run of one tool: its quantities, and whether it found the whole path."""

    values: dict[str, float]
    complete: bool = True
    limit: str = ""
    """What limited the speed of this run."""


@dataclass(slots=True)
class Samples:
    """All runs of one tool."""

    runs: list[Run] = field(default_factory=list)
    failure: str = ""
    """Why there are no runs, or no more of them."""

    def of(self, quantity: str) -> tuple[float, ...]:
        """The values of all runs that have this quantity, in order."""
        return tuple(float(run.values[quantity]) for run in self.runs if quantity in run.values)

    @property
    def quantities(self) -> list[str]:
        """The names of all quantities of the runs."""
        return list(dict.fromkeys(name for run in self.runs for name in run.values))

    @property
    def limit(self) -> str:
        """The most frequent limit of the runs."""
        return statistics.mode([run.limit for run in self.runs]) if self.runs else ""

    @property
    def incomplete(self) -> str:
        """A note about runs that missed answers, which are kept among the samples."""
        missed = sum(not run.complete for run in self.runs)
        return f"{missed} of {len(self.runs)} runs missed answers" if missed else ""


Measurement = Callable[[], Run]


def alternate(
    measurements: Mapping[str, Measurement],
    *,
    runs: int,
    seldom: Mapping[str, int] | None = None,
    may_fail: Collection[str] = (),
    warm: bool = True,
) -> dict[str, Samples]:
    """Run the tools in turn, `runs` times each. With `warm`, each first has a run that does not
    count.

    Each round starts with another tool, so that no tool always follows the same one. `seldom` has
    the number of runs of slow tools; they are spread over the rounds, without a warm-up. If a tool
    of `may_fail` fails, it is not run again; its samples are kept.

    Raises:
        BenchError: another tool failed.
    """
    names = list(measurements)
    samples = {name: Samples() for name in names}
    for number in range(0 if warm else 1, runs + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            often = min((seldom or {}).get(name, runs), runs)
            if samples[name].failure or not _due(number, often, runs):
                continue
            try:
                run = measurements[name]()
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
    """A figure for each quantity of each tool; the first one has the notes about failures."""
    found = []
    for label, taken in samples.items():
        said = [notes.get(label, ""), taken.incomplete]
        if taken.failure:
            said.append(f"{'not available' if not taken.runs else 'then failed'}: {taken.failure}")
        note = "; ".join(filter(None, [*said, taken.limit and f"limit: {taken.limit}"]))
        for quantity in taken.quantities:
            unit = units.get(quantity, "ms")
            found.append(Figure(work, label, quantity, unit, taken.of(quantity), note=note))
            note = ""
        if taken.failure and not taken.runs:
            found.append(Figure(work, label, "", "", (), note=note))
    return found
