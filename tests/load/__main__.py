"""`python -m load [--short]`: the load on a coordinator that it can carry, measured.

Prints a table, and writes `bench/results/load.md` and `.svg`. Exit status: 0 all measured, 1
a measurement failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench import machine, plot, report
from bench.figures import BenchError, Figure

from . import several, works
from .bed import LARGE, MIDDLE, SHORT, Bed, Size

_PLOTTED = (
    "answer",
    "coordinator's CPU",
    "median latency",
    "99th percentile",
    "memory an agent",
    "rows that failed",
)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a little, to see that it works")
    asked = parser.parse_args()
    progress, table = Console(stderr=True), Console()
    facts = machine.facts(())
    found: list[report.Found] = []
    status = 0
    subjects = {
        f"{size.agents:,} agents in {size.colos:,} colos": measured(size, progress)
        for size in ((SHORT,) if asked.short else (MIDDLE, LARGE))
    }
    size = several.SHORT if asked.short else several.FULL
    subjects["two coordinators and a broker"] = measured_several(size, progress)
    for title, figures in subjects.items():
        subject = report.Found(title, "", list(_PLOTTED), machine.now())
        try:
            for figure in figures:
                subject.figures.append(figure)
        except BenchError as error:
            subject.missing = str(error)
            status = 1
        except KeyboardInterrupt:
            progress.print("load: interrupted; everything is stopped")
            return 130
        subject.limits = limits(subject.figures)
        found.append(subject)
    report.show(found, facts, table if sys.stdout.isatty() else Console(width=160))
    if not asked.short:
        _write(found, facts)
    return status


def measured(size: Size, progress: Console) -> Iterator[Figure]:
    """All works on a fleet of that size."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="colotrace-load-")))
        bed = Bed(stack, directory, size, lambda text: progress.print(f"[dim]· {text}[/]"))
        yield from works.rows(bed)
        yield from works.missing(bed)
        if size is not LARGE:
            yield from works.beside(bed)
            yield from works.mixed(bed)
            yield from works.small(bed)
        yield from works.attached(bed)


def measured_several(size: several.Size, progress: Console) -> Iterator[Figure]:
    """All measurements of two coordinators."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="colotrace-load-")))
        bed = several.Bed(stack, directory, size)
        yield from several.figures(bed, lambda text: progress.print(f"[dim]· {text}[/]"))


def limits(figures: Sequence[Figure]) -> str:
    """What one core of the coordinator carries, by the figures of a fleet."""
    per_row = [figure for figure in figures if figure.quantity == "coordinator's CPU"]
    per_core = [each for each in figures if each.quantity == "requests for a second of its CPU"]
    said = [f"{1e3 / figure.median:,.0f} rows/s in {figure.work}" for figure in per_row[-1:]]
    said += [f"{figure.median:,.0f} requests/s of one row" for figure in per_core]
    return "The coordinator's core carries " + " and ".join(said) if said else ""


def _write(found: list[report.Found], facts: dict[str, object]) -> None:
    figures = [figure for subject in found for figure in subject.figures]
    panels = [
        plot.Panel(quantity, chosen)
        for quantity in _PLOTTED
        if (chosen := [replace(f, label=f.work) for f in figures if f.quantity == quantity])
    ]
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    (report.RESULTS / "load.svg").write_text(plot.drawn(panels))
    with (report.RESULTS / "load.md").open("w") as stream:
        report.show(found, facts, Console(file=stream, width=160))


if __name__ == "__main__":
    sys.exit(main())
