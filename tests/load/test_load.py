"""The load harness in short: every work runs, every answer is complete. Nothing is measured."""

import io

from rich.console import Console

from bench.figures import Figure
from load.__main__ import measured
from load.works import SHORT


def test_every_work_gives_figures() -> None:
    """TLS, simulated agents, open-loop clients; a fleet that returns after a restart."""
    figures: list[Figure] = list(measured(SHORT, Console(file=io.StringIO())))
    by_name = {(figure.work, figure.quantity): figure for figure in figures}
    assert len(by_name) == len(figures)
    for figure in figures:
        assert figure.samples, figure
        if figure.quantity in {"rows that failed", "agents lost"}:
            assert figure.median == 0, figure
