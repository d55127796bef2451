"""What was found: a table on the terminal, results.json with every sample, results.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import ROOT
from bench.figures import Figure
from bench.rows import Subject

RESULTS = ROOT / "bench" / "results"
_HEADS = ("", "", "median", "quartiles", "min … max", "n", "to reach", "")

Found = dict[str, tuple[Subject, list[Figure]]]


def show(found: Found, facts: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    for subject, figures in found.values():
        console.print(f"\n[bold]{subject.title}[/]")
        for work, group in groupby(figures, key=lambda figure: figure.work):
            table = Table(title=work, title_justify="left", title_style="italic", box=None)
            for index, words in enumerate(_HEADS):
                table.add_column(words, justify="right" if 2 <= index <= 6 else "left")
            for cells, figure in _lines(group):
                colour = {True: "green", False: "red", None: ""}[figure.reached]
                table.add_row(*cells, style=colour)
            console.print(table)
        console.print(f"[dim]{subject.limits}[/]", highlight=False)
    console.print(f"\n[dim]{head(facts)}[/]", highlight=False)


def write(found: Found, facts: dict[str, Any]) -> Path:
    """Write results.json and results.md; returns their directory."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    told = {
        "machine": facts,
        "subjects": {
            name: {
                "title": subject.title,
                "limits": subject.limits,
                "figures": [_record(figure) for figure in figures],
            }
            for name, (subject, figures) in found.items()
        },
    }
    (RESULTS / "results.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "results.md").write_text("\n".join(_markdown(found, facts)) + "\n")
    return RESULTS


def head(facts: dict[str, Any]) -> str:
    """The machine in two lines, and what is missing here."""
    peers = ", ".join(f"{name} {version}" for name, version in facts["peers"].items())
    return (
        f"{facts['cores']} cores of {facts['processor']}, kernel {facts['kernel']}, "
        f"{facts['system']}, Python {facts['python']}, rmem_max {facts['rmem_max']}, "
        f"load {facts['load']:.1f} at the start\n"
        f"{facts['taken']}, commit {facts['commit'] or '?'}{', ' if peers else ''}{peers}"
        + "".join(f"\nnot measured: {what}" for what in facts["left out"])
    )


def _record(figure: Figure) -> dict[str, Any]:
    low, high = figure.quartiles
    return {
        **asdict(figure), "median": figure.median, "lower_quartile": low, "upper_quartile": high,
        "reached": figure.reached,
    }  # fmt: skip


def _markdown(found: Found, facts: dict[str, Any]) -> Iterator[str]:
    yield "# colotrace, measured\n"
    yield head(facts).replace("\n", "  \n") + "\n"
    for who, command in facts["commands"].items():
        yield f"- {who}: `{command}`"
    for subject, figures in found.values():
        yield f"\n## {subject.title}\n"
        yield subject.limits
        for work, group in groupby(figures, key=lambda figure: figure.work):
            yield f"\n### {work}\n"
            yield "| " + " | ".join(_HEADS) + " |"
            yield "|---|---|--:|--:|--:|--:|--:|---|"
            for cells, _ in _lines(group):
                yield "| " + " | ".join(cells) + " |"


def _lines(figures: Any) -> Iterator[tuple[list[str], Figure]]:
    """The cells of each figure; a contender's name stands in its first line only."""
    last = None
    for figure in figures:
        low, high = figure.quartiles
        reach = ""
        if figure.at_most is not None:
            reach = f"≤ {figure.at_most:g} {'✓' if figure.reached else '✗'}"
        yield (
            [
                figure.who if figure.who != last else "",
                figure.quantity,
                f"{_number(figure.median)} {figure.unit}",
                f"{_number(low)} … {_number(high)}",
                f"{_number(min(figure.samples))} … {_number(max(figure.samples))}",
                str(len(figure.samples)),
                reach,
                figure.note,
            ],
            figure,
        )
        last = figure.who


def _number(value: float) -> str:
    """Three digits that count, without a power of ten."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
