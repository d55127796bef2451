"""Reports: a table on the terminal, results.json with every sample, results.md, results.svg.

Earlier results of subjects that a run does not measure are kept. Each subject has the time, commit
and load of its run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import ROOT, plot
from bench.figures import Figure

RESULTS = ROOT / "bench" / "results"
_FORM = 2
"""Version of results.json's format; files in another format are ignored."""
_HEADS = ("", "", "median", "quartiles", "min … max", "n", "required", "")


@dataclass(slots=True)
class Found:
    """The results of a subject."""

    title: str
    limits: str
    plotted: list[str]
    taken: str
    """Time and commit, and the machine's load before and after."""
    figures: list[Figure] = field(default_factory=list)
    missing: str = ""
    """Why it is incomplete, or ""."""

    def plain(self) -> dict[str, Any]:
        """The content for results.json."""
        return asdict(self) | {"figures": [_record(figure) for figure in self.figures]}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Found:
        """Rebuild from the result of `plain`."""
        fields = Figure.__dataclass_fields__
        figures = [
            Figure(**{name: told[name] for name in fields} | {"samples": tuple(told["samples"])})
            for told in plain["figures"]
        ]
        return cls(**plain | {"figures": figures})


def show(found: Iterable[Found], facts: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    for subject in found:
        console.print(f"\n[bold]{subject.title}[/]")
        for work, group in groupby(subject.figures, key=lambda figure: figure.work):
            table = Table(title=work, title_justify="left", title_style="italic", box=None)
            for index, words in enumerate(_HEADS):
                table.add_column(words, justify="right" if 2 <= index <= 6 else "left")
            for cells, figure in _lines(group):
                colour = {True: "green", False: "red", None: ""}[figure.reached]
                table.add_row(*cells, style=colour)
            console.print(table)
        for text in filter(None, [subject.limits, subject.taken, subject.missing]):
            console.print(f"[dim]{text}[/]", highlight=False, markup=True)
    console.print(f"\n[dim]{head(facts)}[/]", highlight=False)


def write(found: dict[str, Found], facts: dict[str, Any], order: Iterable[str]) -> None:
    """Write results.json, results.md and results.svg.

    `order` has the names of all existing subjects; results of other subjects are dropped.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / "results.json"
    merged = _earlier(file) | found
    subjects = {name: merged[name] for name in order if name in merged}
    told = {
        "form": _FORM,
        "machine": facts,
        "subjects": {name: subject.plain() for name, subject in subjects.items()},
    }
    file.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "results.md").write_text("\n".join(_markdown(subjects.values(), facts)) + "\n")
    (RESULTS / "results.svg").write_text(plot.drawn(_panels(subjects.values())))


def head(facts: dict[str, Any]) -> str:
    """The machine, the time and the versions."""
    peers = ", ".join(f"{name} {version or '?'}" for name, version in facts["peers"].items())
    return (
        f"{facts['cores']} cores of {facts['processor']}, kernel {facts['kernel']}, "
        f"{facts['system']}, Python {facts['python']}, rmem_max {facts['rmem_max']}, "
        f"load {facts['load']} at the start\n"
        f"{facts['taken']}, commit {facts['commit'] or '?'}{', ' if peers else ''}{peers}"
    )


def _earlier(file: Path) -> dict[str, Found]:
    """The results of earlier runs."""
    try:
        told = json.loads(file.read_text())
        if told.get("form") != _FORM:
            return {}
        return {name: Found.of(plain) for name, plain in told["subjects"].items()}
    except (OSError, ValueError, KeyError, TypeError):  # no file, or another format
        return {}


def _record(figure: Figure) -> dict[str, Any]:
    told = asdict(figure) | {"reached": figure.reached}
    if figure.samples:
        low, high = figure.quartiles
        told |= {"median": figure.median, "lower_quartile": low, "upper_quartile": high}
    return told


def _markdown(found: Iterable[Found], facts: dict[str, Any]) -> Iterator[str]:
    yield "# colotrace, measured\n"
    yield head(facts).replace("\n", "  \n") + "\n"
    for label, command in facts["commands"].items():
        yield f"- {label}: `{command}`"
    yield "\n![medians, minimum and maximum](results.svg)"
    for subject in found:
        yield f"\n## {subject.title}\n"
        yield subject.limits + "\n"
        yield f"Taken {subject.taken}. {subject.missing}".rstrip()
        for work, group in groupby(subject.figures, key=lambda figure: figure.work):
            yield f"\n### {work}\n"
            yield "| " + " | ".join(_HEADS) + " |"
            yield "|---|---|--:|--:|--:|--:|--:|---|"
            for cells, _ in _lines(group):
                yield "| " + " | ".join(cell.replace("|", "¦") for cell in cells) + " |"


def _panels(found: Iterable[Found]) -> Iterator[plot.Panel]:
    for subject in found:
        for work, group in groupby(subject.figures, key=lambda figure: figure.work):
            figures = [figure for figure in group if figure.samples]
            for quantity in subject.plotted:
                drawn = [figure for figure in figures if figure.quantity == quantity]
                if len(drawn) > 1:
                    yield plot.Panel(f"{work}: {quantity}", drawn)


def _lines(figures: Iterable[Figure]) -> Iterator[tuple[list[str], Figure]]:
    """The cells of each figure; a tool's name is in its first line only."""
    last = None
    for figure in figures:
        label = figure.label if figure.label != last else ""
        last = figure.label
        if not figure.samples:
            yield [label, figure.quantity, "none", "", "", "", "", figure.note], figure
            continue
        low, high = figure.quartiles
        cells = [
            label,
            figure.quantity,
            f"{number(figure.median)} {figure.unit}".rstrip(),
            f"{number(low)} … {number(high)}",
            f"{number(min(figure.samples))} … {number(max(figure.samples))}",
            str(len(figure.samples)),
            _to_reach(figure),
            figure.note,
        ]
        yield cells, figure


def _to_reach(figure: Figure) -> str:
    bounds = [
        f"{sign} {number(bound)}"
        for sign, bound in (("≤", figure.at_most), ("≥", figure.at_least))
        if bound is not None
    ]
    return f"{', '.join(bounds)} {'✓' if figure.reached else '✗'}" if bounds else ""


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    size = abs(value)
    if size >= 1_000:
        return f"{value:,.0f}"
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{decimals}f}" if size else "0"
