"""`python -m load [--short]`: the load on a coordinator that it can carry, measured.

Prints progress, a table, and what is not reached; writes `bench/results/load.md` and `.svg` after
each fleet. Ends within 10 minutes: no work is begun after 8.5 of them. Exit status: 0 all measured,
1 a measurement failed or was left out, 130 interrupted. Figures that are not reached do not change
the status.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

from rich.console import Console

from bench import machine, plot, report
from bench.figures import Figure

from . import several
from .bed import LARGE, MIDDLE, SHORT
from .plan import Subject, limits, of_a_fleet, of_two_coordinators, shortfalls

_PLOTTED = (
    "answer",
    "coordinator's CPU",
    "median latency",
    "99th percentile",
    "memory an agent",
    "rows that failed",
)
_LAST_BEGIN_S = 510.0
"""After this, no work is begun: the longest takes a minute and a half."""


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a little, to see that it works")
    asked = parser.parse_args()
    if asked.short:
        subjects = [of_a_fleet(SHORT), of_two_coordinators(several.SHORT)]
    else:
        # The largest fleet last: should time run out, the least is lost.
        subjects = [
            of_a_fleet(MIDDLE),
            of_two_coordinators(several.FULL),
            of_a_fleet(LARGE, small=False),
        ]
    return _run(subjects, Console(stderr=True), write=not asked.short)


def _run(subjects: list[Subject], progress: Console, *, write: bool) -> int:
    began = time.monotonic()

    def say(text: str) -> None:
        passed_s = time.monotonic() - began
        progress.print(f"[dim]{passed_s:4.0f} s · {text}[/]", highlight=False)

    facts = machine.facts(())
    found: list[report.Found] = []
    interrupted = False
    for subject in subjects:
        one = report.Found(subject.title, "", list(_PLOTTED), machine.now())
        found.append(one)
        try:
            for figure in subject.figures(say, until=began + _LAST_BEGIN_S):
                one.figures.append(figure)
        except KeyboardInterrupt:
            one.missing, interrupted = "Interrupted.", True
        except Exception as error:  # noqa: BLE001 - the other fleets are measured all the same
            one.missing = " ".join(f"Failed: {type(error).__name__}: {error}".split())[:2_000]
            say(one.missing)
        one.limits = limits(one.figures)
        if write:
            _write(found, facts)
        if interrupted:
            break
    table = Console() if sys.stdout.isatty() else Console(width=160)
    report.show(found, facts, table)
    _show_shortfalls(found, table)
    say(f"written: {report.RESULTS.name}/load.md and .svg" if write else "nothing is written")
    if interrupted:
        return 130
    missing = [each for one in found for each in one.figures if not each.samples]
    return 1 if missing or any(one.missing for one in found) else 0


def _show_shortfalls(found: list[report.Found], console: Console) -> None:
    lines = shortfalls([figure for one in found for figure in one.figures])
    lines += [f"{one.title}: {one.missing}" for one in found if one.missing]
    console.print(f"\n[bold]{'Not reached' if lines else 'All that is required is reached.'}[/]")
    for line in lines:
        console.print(f"✗ {line}", style="red", highlight=False, markup=False)


def _write(found: list[report.Found], facts: dict[str, object]) -> None:
    figures = [figure for one in found for figure in one.figures if figure.samples]
    panels = [
        plot.Panel(quantity, chosen)
        for quantity in _PLOTTED
        if (chosen := [_labelled(f) for f in figures if f.quantity == quantity])
    ]
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    (report.RESULTS / "load.svg").write_text(plot.drawn(panels))
    with (report.RESULTS / "load.md").open("w") as stream:
        console = Console(file=stream, width=160)
        report.show(found, facts, console)
        _show_shortfalls(found, console)


def _labelled(figure: Figure) -> Figure:
    return replace(figure, label=figure.work)


if __name__ == "__main__":
    sys.exit(main())
