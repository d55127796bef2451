"""Text laid out in columns of a terminal: aligned tables, and words that flow where none fits.

Widths are those of `text.width`: wide characters count two, combining ones none. A cell is never
cut here; whoever fills it decides what may be shortened (`text.fit`).
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from .text import ELLIPSIS, encodable, fit, safe, width

_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"
GAP = 1
"""Columns between two cells."""


@dataclass(frozen=True, slots=True)
class Paper:
    """What is written on: `columns` None is without bound, as for a file or a pipe."""

    columns: int | None = None
    encoding: str = "utf-8"
    styled: bool = False

    def text(self, text: str, *, most: int = 255) -> str:
        """A stranger's text, safe and as far as the encoding has its characters."""
        return encodable(safe(text, most=most), self.encoding)

    def own(self, text: str) -> str:
        """A text of this program's, as far as the encoding has its characters."""
        return encodable(text, self.encoding)

    def fit(self, text: str, columns: int) -> str:
        """The text in so many columns at most."""
        return fit(text, columns, ellipsis=self.own(ELLIPSIS))

    def bold(self, text: str) -> str:
        """The text, bold where that can be."""
        return f"{_BOLD}{text}{_PLAIN}" if self.styled else text

    def red(self, text: str) -> str:
        """The text, red where that can be."""
        return f"{_RED}{text}{_PLAIN}" if self.styled else text

    def has(self, columns: int) -> bool:
        """Whether so many columns fit."""
        return self.columns is None or columns <= self.columns


def paper(stream: TextIO) -> Paper:
    """The paper that a standard stream is: as wide as the terminal; without bound elsewhere."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    if not stream.isatty():
        return Paper(None, encoding)
    styled = os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return Paper(_terminal_columns(stream), encoding, styled)


def flow(words: Sequence[str], on: Paper, *, indent: int = 0, first: int = 0) -> list[str]:
    """Lines of the words, one space apart, none of them cut.

    The first line begins in column `first`, the others in column `indent`, or further left where a
    word needs it. A word that is wider than the paper stands alone, and the terminal breaks it.
    """
    lines: list[str] = []
    line, at, begun = " " * first, first, first == 0
    for word in words:
        wide = width(word)
        gap = GAP if line.strip() else 0
        if begun and not gap:
            pass
        elif not on.has(at + gap + wide):
            lines.append(line)
            at = indent if on.columns is None else max(min(indent, on.columns - wide), 0)
            line, gap = " " * at, 0
        line, at, begun = line + " " * gap + word, at + gap + wide, True
    return [*lines, line]


def grid(
    head: Sequence[str], body: Sequence[Sequence[str]], *, right: Sequence[bool], gap: int = GAP
) -> list[str]:
    """Lines of a table: the head, then each row, cells padded to their column's width."""
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
    """Columns of a table whose columns are so wide."""
    return sum(wide) + GAP * (len(wide) - 1)


def _pad(cell: str, columns: int, *, right: bool) -> str:
    space = " " * (columns - width(cell))
    return space + cell if right else cell + space


def _terminal_columns(stream: TextIO) -> int:
    """As wide as COLUMNS or the terminal says; 80 where neither does."""
    if os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def standard_output() -> Paper:
    """What is printed on by default."""
    return paper(sys.stdout)
