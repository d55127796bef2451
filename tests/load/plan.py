"""The works of a load run, one after the other: one that fails does not lose the others' figures.

subject   one bed (a fleet, or two coordinators), and the works on it
work      a function that yields figures as it has them
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.figures import Figure

from . import several, works
from .bed import Bed, Size
from .outcome import WHO

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to measure."""

    name: str
    measure: Callable[[], Iterator[Figure]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A bed and the works on it."""

    title: str
    begin: Callable[[ExitStack, Path, Say], Iterable[Work]]
    """Builds the bed in that folder; the stack takes it down."""

    def figures(self, say: Say, *, until: float = float("inf")) -> Iterator[Figure]:
        """All figures. `until` is when no further work is begun, by `time.monotonic`.

        Raises:
            Exception: the bed could not be built.
        """
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="colotrace-load-"))
            yield from carried_out(self.begin(stack, Path(folder), say), say=say, until=until)


def carried_out(each: Iterable[Work], *, say: Say, until: float) -> Iterator[Figure]:
    """The figures of these works. One that could not be measured, or not to its end, has a figure
    without samples that says why."""
    for work in each:
        if time.monotonic() >= until:
            yield _missing(work, "not measured: the time for the whole run was over")
            continue
        try:
            yield from work.measure()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other works go on
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            say(f"{work.name} failed: {why}")
            yield _missing(work, f"failed: {why}")


def _missing(work: Work, why: str) -> Figure:
    return Figure(work.name, WHO, "", "", (), note=why)


def of_a_fleet(size: Size, *, small: bool = True) -> Subject:
    """All works on a fleet of that size; `small`: those with small requests as well."""

    def begin(stack: ExitStack, folder: Path, say: Say) -> Iterator[Work]:
        bed = Bed(stack, folder, size, say)
        costs: dict[int, float] = {}
        for colos, targets in size.requests:
            name = f"{colos:,} colos x {targets}; {bed.fleet}"
            yield Work(name, partial(works.large, bed, colos, targets, costs))
        yield Work(f"growth; {bed.fleet}", lambda: works.growth(costs, bed.fleet))
        yield Work(f"agents late or silent; {bed.fleet}", partial(works.missing, bed))
        if small:
            yield Work(f"beside large requests; {bed.fleet}", partial(works.beside, bed))
            yield Work(f"mixed; {bed.fleet}", partial(works.mixed, bed))
            yield Work(f"1 row; {bed.fleet}", partial(works.small, bed))
        yield Work(f"idle, and restart; {bed.fleet}", partial(works.attached, bed))

    return Subject(f"{size.agents:,} agents in {size.colos:,} colos", begin)


def of_two_coordinators(size: several.Size) -> Subject:
    """Two coordinators and a broker, compared with one."""

    def begin(stack: ExitStack, folder: Path, say: Say) -> Iterator[Work]:
        say("two coordinators, and one without a broker, start")
        bed = several.Bed(stack, folder, size)
        yield Work("added latency of the broker", partial(several.added_latency, bed, say))
        yield Work("capacity of two coordinators", partial(several.capacity, bed, say))

    return Subject("two coordinators and a broker", begin)


def limits(figures: Sequence[Figure]) -> str:
    """What one core of the coordinator carries, by the figures of a fleet."""
    per_row = [each for each in figures if each.quantity == "coordinator's CPU" and each.samples]
    per_core = [
        each
        for each in figures
        if each.quantity == "requests for a second of its CPU" and each.samples
    ]
    said = [f"{1e3 / figure.median:,.0f} rows/s in {figure.work}" for figure in per_row[-1:]]
    said += [f"{figure.median:,.0f} requests/s of one row" for figure in per_core]
    return "The coordinator's core carries " + " and ".join(said) + "." if said else ""


def shortfalls(figures: Sequence[Figure]) -> list[str]:
    """A line for each figure that does not reach what is required, or that is missing."""
    lines = []
    for figure in figures:
        what = f"{figure.work}: {figure.quantity}".rstrip(": ")
        if not figure.samples:
            lines.append(f"{what}: {figure.note}")
        elif figure.reached is False:
            bounds = [
                f"{words} {bound:g}"
                for words, bound in (("at most", figure.at_most), ("at least", figure.at_least))
                if bound is not None
            ]
            value = f"{figure.median:.4g} {figure.unit}".rstrip()
            lines.append(f"{what}: {value}; required: {' and '.join(bounds)}")
    return lines
