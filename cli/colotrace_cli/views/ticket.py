"""What a guarded command changed, as Markdown for a change ticket.

Everything from the network is in a code span: nothing in one is a link, a mention, HTML, or markup.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from colotrace_formats.code_spans import code

from colotrace_cli.api.shapes import Answer, Difference

from .difference import NOTHING, details, members
from .result import failed_rows, summary

_MOST_ROWS = 50
"""Rows that differ beyond these are counted."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A command between two measurements.

    `code` is its exit code, `why` says why it could not be started. `before` and `after` are the
    measurements, a part for each ten targets, with their ids. `stable`: the last two of `traces`
    traces after the command had no difference; `within_s` is the time that they took.
    """

    command: str
    code: int
    took_s: float
    why: str
    targets: Sequence[str]
    colos: Sequence[str] | None
    before: Sequence[tuple[str, Answer]]
    after: Sequence[tuple[str, Answer]]
    differences: Sequence[Difference]
    traces: int
    within_s: float
    stable: bool


def markdown(of: Guarded) -> list[str]:
    """The lines."""
    return list(_lines(of))


def _lines(of: Guarded) -> Iterator[str]:
    changed = sum(len(each.changes) for each in of.differences)
    verdict = f"{changed} {'row differs' if changed == 1 else 'rows differ'}"
    if not changed:
        compared = any(each.paths for each in of.differences)
        verdict = "No difference found" if compared else "No path could be compared"
    yield f"## {verdict} after {code(of.command)}"
    yield ""
    yield f"- Targets: {_codes(of.targets)}"
    yield f"- From: {_codes(of.colos) if of.colos else 'all colos'}"
    ended = f"ended with {of.code} after {of.took_s:.1f} s"
    yield f"- Command: {f'not started, {code(of.why)}' if of.why else ended}"
    yield f"- Before: {_measured(of.before)}"
    yield f"- After: {_measured(of.after)}"
    yield f"- {_stability(of)}"
    for each in of.differences:
        yield ""
        yield from _difference(each)
    rows = [change for each in of.differences for change in each.changes]
    for change in rows[:_MOST_ROWS]:
        yield ""
        yield f"### {code(change.target)} from {code(change.colo)}"
        yield ""
        for detail in details(change):
            yield f"- {code(detail)}"
    if len(rows) > _MOST_ROWS:
        yield ""
        yield f"{len(rows) - _MOST_ROWS} more rows differ."


def _difference(of: Difference) -> Iterator[str]:
    sentences = of.in_words or [NOTHING]
    yield f"{code(sentences[0])}"
    yield ""
    for cluster in of.clusters:
        names = members(cluster)
        yield f"- {code(cluster.in_words)}" + (f": {_codes(names)}" if len(names) > 1 else "")
    for sentence in sentences[1 + len(of.clusters) :]:
        yield f"- {code(sentence)}"


def _measured(parts: Sequence[tuple[str, Answer]]) -> str:
    answers = [found for _, found in parts]
    failed = failed_rows([target for each in answers for target in each.rows])
    ids = ", ".join(code(each) for each, _ in parts)
    return f"{ids}: {summary(answers, None)}" + (" (**incomplete**)" if failed else "")


def _stability(of: Guarded) -> str:
    traces = f"{of.traces} traces" if of.traces != 1 else "1 trace"
    if of.stable:
        return f"Stable after {traces}, {of.within_s:.0f} s after the command."
    return (
        f"**Not stable**: {traces} in {of.within_s:.0f} s after the command still differed from "
        "one another; the last one is compared."
    )


def _codes(names: Sequence[str]) -> str:
    return ", ".join(map(code, names))
