"""The load harness in short: every work runs, every answer is complete. Nothing is measured."""

import io

from rich.console import Console

from bench.figures import Figure
from load import several
from load.__main__ import measured, measured_several
from load.bed import SHORT
from load.works import growth


def test_every_work_gives_figures() -> None:
    """TLS, simulated agents, open-loop clients; a fleet that returns after a restart."""
    figures: list[Figure] = list(measured(SHORT, Console(file=io.StringIO())))
    by_name = {(figure.work, figure.quantity): figure for figure in figures}
    assert len(by_name) == len(figures)
    for figure in figures:
        assert figure.samples, figure
        if figure.quantity in {"rows that failed", "agents lost"}:
            assert figure.median == 0, figure


def test_two_coordinators_are_compared_with_one() -> None:
    """MQTT with TLS; both coordinators answer all requests completely."""
    figures = list(measured_several(several.SHORT, Console(file=io.StringIO())))
    assert {figure.label for figure in figures} == {
        "direct", "broker", "one coordinator", "two coordinators"
    }  # fmt: skip
    assert all(figure.samples for figure in figures)


def test_growth_compares_marginal_costs() -> None:
    """A fixed cost of each request does not count; a cost that grows with its size does."""
    rows = (100, 1_000, 10_000, 20_000)
    (steady,) = growth({n: 0.1 + 50 / n for n in rows}, "agents")
    (quadratic,) = growth({n: 0.1 + n * 1e-5 for n in rows}, "agents")
    assert abs(steady.median - 1) < 1e-9
    assert not quadratic.reached
