"""What commands print on standard output: lines, tables and times."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from colotrace_proto.layout import grid, text_output

T = TypeVar("T")


def write(line: str) -> None:
    """Print a line, with nothing else."""
    sys.stdout.write(line + "\n")


def print_table(rows: Iterable[T], columns: Mapping[str, Callable[[T], str]]) -> None:
    """Print the rows with a header; `columns` makes each column's cell of a row."""
    terminal = text_output(sys.stdout)
    body = [[terminal.text(cell(row)) for cell in columns.values()] for row in rows]
    for line in grid(list(columns), body, right=[False] * len(columns), gap=2):
        write(line)


def instant(seconds: int | None) -> str:
    """Unix seconds as ISO 8601; "-" for None."""
    return "-" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
