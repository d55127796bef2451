"""Text layout for terminals: aligned tables, and wrapped words where a table does not fit.

Widths are those of `text.width`: two for wide characters, zero for combining ones. Cells are never
cut here; callers shorten them with `text.fit`.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from .output import encoding
from .text import ELLIPSIS, encodable, fit, safe, width

_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"
GAP = 1
"""Columns between two cells."""


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Properties of an output stream. `columns` is None for a file or pipe: unlimited width."""

    columns: int | None = None
    encoding: str = "utf-8"
    styled: bool = False

    def text(self, text: str, *, most: int = 255) -> str:
        """Untrusted text, escaped (`text.safe`) and made encodable."""
        return encodable(safe(text, most=most), self.encoding)

    def encodable(self, text: str) -> str:
        """The program's own text, made encodable."""
        return encodable(text, self.encoding)

    def fit(self, text: str, columns: int) -> str:
        """The text, shortened to at most `columns`."""
        return fit(text, columns, ellipsis=self.encodable(ELLIPSIS))

    def bold(self, text: str) -> str:
        """The text, bold if the stream supports styles."""
        return f"{_BOLD}{text}{_PLAIN}" if self.styled else text

    def red(self, text: str) -> str:
        """The text, red if the stream supports styles."""
        return f"{_RED}{text}{_PLAIN}" if self.styled else text

    def fits(self, columns: int) -> bool:
        """Whether `columns` fit."""
        return self.columns is None or columns <= self.columns


def text_output(stream: TextIO) -> TextOutput:
    """The properties of a standard stream."""
    if not stream.isatty():
        return TextOutput(None, encoding(stream))
    styled = os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return TextOutput(_terminal_columns(stream), encoding(stream), styled)


def flow(words: Sequence[str], on: TextOutput, *, indent: int = 0, first: int = 0) -> list[str]:
    """The words wrapped into lines, separated by one space; no word is cut.

    The first line begins in column `first`, the others in column `indent`, or further left if a
    word needs it. A word that is wider than the terminal gets its own line.
    """
    lines: list[str] = []
    line, at, begun = " " * first, first, first == 0
    for word in words:
        wide = width(word)
        gap = GAP if line.strip() else 0
        if begun and not gap:
            pass
        elif not on.fits(at + gap + wide):
            lines.append(line)
            at = indent if on.columns is None else max(min(indent, on.columns - wide), 0)
            line, gap = " " * at, 0
        line, at, begun = line + " " * gap + word, at + gap + wide, True
    return [*lines, line]


def grid(
    head: Sequence[str], body: Sequence[Sequence[str]], *, right: Sequence[bool], gap: int = GAP
) -> list[str]:
    """The lines of a table: the head, then the rows, with cells padded to the column's width."""
    wide = widths(head, body)
    return [
        (" " * gap)
        .join(
            _pad(cell, columns, right=to_right)
            for cell, columns, to_right in zip(cells, wide, right, strict=True)
        )
        .rstrip()
        for cells in (head, *body)
    ]


def widths(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column of a table."""
    return [max(map(width, column)) for column in zip(head, *body, strict=True)]


def total(wide: Sequence[int]) -> int:
    """The width of a table with columns of these widths."""
    return sum(wide) + GAP * (len(wide) - 1)


def _pad(cell: str, columns: int, *, right: bool) -> str:
    space = " " * (columns - width(cell))
    return space + cell if right else cell + space


def _terminal_columns(stream: TextIO) -> int:
    """The width by COLUMNS or else by the terminal; 80 if unknown."""
    if os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
