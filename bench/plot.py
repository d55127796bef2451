"""A plot of medians: for each task a bar for each tool, on a logarithmic scale.

It is plain SVG, so that no plotting library is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.figures import Figure

_WIDTH, _LEFT, _RIGHT = 900, 250, 110
_TITLE, _BAR, _GAP = 34, 16, 22
_OURS, _OTHERS = "#1f6f8b", "#b8b8b8"
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:13px}"
    ".spread{stroke:#222}.grid{stroke:#ddd}.bound{stroke:#c0392b;stroke-width:2}"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity for one task."""

    title: str
    figures: list[Figure]


def drawn(panels: Iterable[Panel]) -> str:
    """The SVG document, one panel below the other."""
    parts: list[str] = []
    top = 10
    for panel in panels:
        parts += _panel(panel, top)
        top += _TITLE + _GAP * len(panel.figures) + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" '
        f'viewBox="0 0 {_WIDTH} {top}">\n<style>{_STYLE}</style>\n'
        '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(panel: Panel, top: int) -> Iterator[str]:
    unit = panel.figures[0].unit
    yield _text(8, top + 16, f"{panel.title} ({unit})" if unit else panel.title, "title")
    scale = _Scale(panel.figures)
    bottom = top + _TITLE + _GAP * len(panel.figures)
    for power in scale.powers():
        x = scale.at(10.0**power)
        yield f'<line class="grid" x1="{x:.1f}" y1="{top + 26}" x2="{x:.1f}" y2="{bottom}"/>'
        yield _text(x, bottom + 12, f"{10.0**power:g}", anchor="middle")
    for row, figure in enumerate(panel.figures):
        yield from _bar(figure, scale, top + _TITLE + _GAP * row)


def _bar(figure: Figure, scale: _Scale, y: int) -> Iterator[str]:
    ours = figure.label.startswith(("colotrace", "engine", "agent"))
    middle, end = y + _BAR / 2, scale.at(figure.median)
    yield _text(_LEFT - 8, y + 12, figure.label, anchor="end")
    yield (
        f'<rect x="{_LEFT}" y="{y}" width="{max(end - _LEFT, 1):.1f}" height="{_BAR}" '
        f'fill="{_OURS if ours else _OTHERS}"/>'
    )
    low, high = scale.at(min(figure.samples)), scale.at(max(figure.samples))
    yield f'<line class="spread" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>'
    for bound in (figure.at_most, figure.at_least):
        if bound is not None and bound > 0:
            x, foot = scale.at(bound), y + _BAR + 2
            yield f'<line class="bound" x1="{x:.1f}" y1="{y - 2}" x2="{x:.1f}" y2="{foot}"/>'
    median = f"{figure.median:.3g}" if figure.median < 1e3 else f"{figure.median:,.0f}"
    yield _text(max(end, high) + 6, y + 12, median)


class _Scale:
    """A logarithmic scale from the power of ten below the minimum to the one above the maximum."""

    def __init__(self, figures: list[Figure]) -> None:
        values = [
            value
            for figure in figures
            for value in (*figure.samples, figure.at_most, figure.at_least)
            if value is not None and value > 0
        ] or [1.0]
        # So that the smallest value also has a bar.
        self._first = math.floor(math.log10(min(values) / 1.5))
        self._last = max(math.ceil(math.log10(max(values))), self._first + 1)

    def powers(self) -> range:
        """The exponents of ten on the scale."""
        return range(self._first, self._last + 1)

    def at(self, value: float) -> float:
        """The position of a value; values up to zero are at the start."""
        if value <= 0:
            return _LEFT
        share = (math.log10(value) - self._first) / (self._last - self._first)
        return _LEFT + max(share, 0.0) * (_WIDTH - _LEFT - _RIGHT)


def _text(x: float, y: float, words: str, kind: str = "", *, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )
