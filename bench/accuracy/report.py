"""The tables on the terminal, accuracy.json with every sample, accuracy.md, docs/accuracy.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import ROOT
from bench.accuracy.conditions import Condition
from bench.accuracy.contenders import Contender
from bench.accuracy.errors import Errors, Quantile, quantile
from bench.report import head

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "accuracy.md"
_BEGIN, _END = "<!-- figures: make accuracy -->", "<!-- end of figures -->"
_HEADS = (
    "error, µs", "median", "5 … 95 %", "99th percentile", "n", "lost", "left out", "unread", "late",
)  # fmt: skip
_LEGEND = (
    "In brackets: 95 % confidence interval of the quantile. lost: probes without a reported RTT"
    " or without a certain record. left out: replies while the responder had lost its core. The"
    " responder itself, median / 99th percentile in µs: unread, upper bound of the time that a "
    "probe waited to be read; late, delay of a reply beyond its planned time (which is in its "
    "record and causes no error)."
)
_OWN = "colotrace"


@dataclass(slots=True)
class Result:
    """The result of one tool under one condition."""

    contender: Contender
    errors: Errors = field(default_factory=Errors)

    @property
    def median(self) -> Quantile:
        """The median of the error."""
        return quantile(self.errors.all("error"), 0.5)

    @property
    def last(self) -> Quantile:
        """The 99th percentile of the error."""
        return quantile(self.errors.all("error"), 0.99)

    @property
    def own(self) -> bool:
        """Whether the tool is colotrace."""
        return self.contender.label.startswith(_OWN)

    @property
    def peer(self) -> bool:
        """Whether it is another tool."""
        return bool(self.contender.package)


@dataclass(slots=True)
class Found:
    """The results under one condition."""

    condition: Condition
    loops: int = 0
    results: list[Result] = field(default_factory=list)

    def best_peer(self) -> tuple[float, float] | None:
        """The smallest median and the smallest 99th percentile among the other tools."""
        peers = [each for each in self.results if each.peer and len(each.errors)]
        if not peers:
            return None
        medians = [abs(each.median.value) for each in peers]
        return min(medians), min(each.last.value for each in peers)

    def verdicts(self) -> Iterator[tuple[str, bool]]:
        """For each row of colotrace, the required accuracy in words, and whether it is met."""
        best = self.best_peer()
        for each in self.results:
            if not each.own or not len(each.errors):
                continue
            median, last = abs(each.median.value), each.last.value
            wanted = f"≤ {self.condition.median_us:g} / {self.condition.last_us:g} µs"
            reached = median <= self.condition.median_us and last <= self.condition.last_us
            words = f"{each.contender.label}: {median:.1f} / {last:.1f} µs, required {wanted}"
            if self.condition.busy and best is not None:
                twice = (2 * best[0], 2 * best[1])
                words += f" and ≤ twice the best other tool's, {twice[0]:.1f} / {twice[1]:.1f}"
                reached = reached and median <= twice[0] and last <= twice[1]
            yield words, reached


def show(found: list[Found], facts: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    for each in found:
        table = Table(title=_title(each), title_justify="left", title_style="bold", box=None)
        for index, words in enumerate(_HEADS):
            table.add_column(words, justify="right" if index else "left")
        for result in each.results:
            table.add_row(*_cells(result), style="cyan" if result.own else "")
        console.print(table)
        for words, reached in each.verdicts():
            mark, colour = ("✓", "green") if reached else ("✗", "red")
            console.print(f"{mark} {words}", style=colour, highlight=False)
        for words in _notes(each):
            console.print(words, style="dim", highlight=False)
        console.print()
    console.print(_LEGEND, style="dim", highlight=False)
    console.print(head(facts), style="dim", highlight=False)


def write(found: list[Found], facts: dict[str, Any]) -> None:
    """Write accuracy.json and accuracy.md."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    told = {"machine": facts, "conditions": [_record(each) for each in found]}
    (RESULTS / "accuracy.json").write_text(json.dumps(told, ensure_ascii=False) + "\n")
    (RESULTS / "accuracy.md").write_text("\n".join(_markdown(found, facts)) + "\n")


def write_docs(found: list[Found], facts: dict[str, Any]) -> Path:
    """Replace the tables in docs/accuracy.md."""
    page = PAGE.read_text()
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    figures = "\n".join(_markdown(found, facts))
    PAGE.write_text(f"{before}{_BEGIN}\n\n{figures}\n\n{_END}{after}")
    return PAGE


def _markdown(found: list[Found], facts: dict[str, Any]) -> Iterator[str]:
    yield head(facts).replace("\n", "  \n")
    yield f"\n{_LEGEND}"
    for each in found:
        yield f"\n### {_title(each)}\n"
        yield "| " + " | ".join(_HEADS) + " |"
        yield "|---" + "|--:" * (len(_HEADS) - 1) + "|"
        for result in each.results:
            yield "| " + " | ".join(_cells(result)) + " |"
        yield ""
        for words, reached in each.verdicts():
            yield f"- {'✓' if reached else '✗'} {words}"
        for words in _notes(each):
            yield f"- {words}"
    yield "\n### Commands\n"
    for label, command in _commands(found).items():
        yield f"- {label}: `{command}`"


def _title(found: Found) -> str:
    loops = f" ({found.loops} busy loops)" if found.loops else ""
    return found.condition.title + loops


def _commands(found: list[Found]) -> dict[str, str]:
    return {
        result.contender.label: result.contender.command.replace("{target}", "TARGET")
        for each in found
        for result in each.results
        if not result.own
    }


def _cells(result: Result) -> list[str]:
    errors, contender = result.errors, result.contender
    missed = [str(errors.lost), str(len(errors.all("left_out")))]
    if not len(errors):
        return [
            contender.label,
            *[""] * 3,
            "0",
            str(errors.lost),
            str(len(errors.all("left_out"))),
            "",
            "",
        ]
    error = errors.all("error")
    low, high = quantile(error, 0.05).value, quantile(error, 0.95).value
    return [
        contender.label,
        _within(result.median),
        f"{low:.1f} … {high:.1f}",
        _within(result.last),
        str(len(errors)),
        *missed,
        _pair(errors, "unread"),
        _pair(errors, "late"),
    ]


def _within(of: Quantile) -> str:
    return f"{of.value:.1f} ({of.low:.1f} … {of.high:.1f})"


def _pair(errors: Errors, what: str) -> str:
    samples = errors.all(what)
    return f"{quantile(samples, 0.5).value:.1f} / {quantile(samples, 0.99).value:.1f}"


def _notes(found: Found) -> Iterator[str]:
    """The tools' limits, and the parts of the error of kernel time stamps."""
    notes: dict[str, list[str]] = {}
    for each in found.results:
        if each.contender.note:
            notes.setdefault(each.contender.note, []).append(each.contender.label)
    for note, labels in notes.items():
        yield f"{', '.join(labels)}: {note}"
    for each in found.results:
        if len(each.errors.all("out")):
            yield (
                f"{each.contender.label}, median / 99th percentile in µs: from send stamp to the "
                f"responder's read {_pair(each.errors, 'out')}, from its write to the receive "
                f"stamp {_pair(each.errors, 'back')}"
            )


def _record(found: Found) -> dict[str, Any]:
    return {
        "condition": found.condition.name,
        "busy_loops": found.loops,
        "verdicts": [{"words": words, "reached": reached} for words, reached in found.verdicts()],
        "contenders": [
            {
                "who": each.contender.label,
                "command": each.contender.command,
                "note": each.contender.note,
                "lost": each.errors.lost,
                **{
                    f"{what}_us": [round(float(value), 3) for value in each.errors.all(what)]
                    for what in ("error", "left_out", "unread", "late", "out", "back")
                },
            }
            for each in found.results
        ],
    }
