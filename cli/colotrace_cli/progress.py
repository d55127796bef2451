"""The line that shows that something is being waited for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """A spinner, the words and the time so far on standard error, gone at the end.

    Nothing at all where standard error is not a terminal.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    line = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        # Nothing else is printed meanwhile; the streams stay as they are.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with line:
        line.add_task(words, total=None)
        yield
