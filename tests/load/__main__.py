"""`python -m load [--short]`: the load on a coordinator that it can carry, measured.

Prints a table, and writes `bench/results/load.md` and `.svg`. Exit status: 0 all measured, 1
a measurement failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from rich.console import Console

from bench import machine, plot, report
from bench.figures import BenchError, Figure

from . import works
from .works import LARGE, MIDDLE, SHORT, Bed, Size

_PLOTTED = ("answer", "coordinator's CPU", "median latency", "99th percentile")


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a little, to see that it works")
    asked = parser.parse_args()
    progress, table = Console(stderr=True), Console()
    facts = machine.facts(())
    found: list[report.Found] = []
    status = 0
    for size in (SHORT,) if asked.short else (MIDDLE, LARGE):
        title = f"{size.agents:,} agents in {size.colos:,} colos"
        subject = report.Found(title, "", list(_PLOTTED), machine.now())
        try:
            subject.figures += measured(size, progress)
        except BenchError as error:
            subject.missing = str(error)
            status = 1
        except KeyboardInterrupt:
            progress.print("load: interrupted; everything is stopped")
            return 130
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
        if size is not LARGE:
            yield from works.beside(bed)
            yield from works.small(bed)
        yield from works.attached(bed)


def _write(found: list[report.Found], facts: dict[str, object]) -> None:
    figures = [figure for subject in found for figure in subject.figures]
    panels = [
        plot.Panel(f"{work}: {quantity}", list(group))
        for (work, quantity), group in groupby(figures, lambda each: (each.work, each.quantity))
        if quantity in _PLOTTED
    ]
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    (report.RESULTS / "load.svg").write_text(plot.drawn(panels))
    with (report.RESULTS / "load.md").open("w") as stream:
        report.show(found, facts, Console(file=stream, width=160))


if __name__ == "__main__":
    sys.exit(main())
