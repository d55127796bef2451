"""The load harness in short: every work runs, every answer is complete. Nothing is measured."""

import time
from collections.abc import Iterator

from bench.figures import Figure
from load import several
from load.bed import SHORT
from load.plan import Work, carried_out, of_a_fleet, of_two_coordinators, shortfalls
from load.works import growth


def _nothing(_text: str) -> None:
    """Says nothing."""


def test_every_work_gives_figures() -> None:
    """TLS, simulated agents, open-loop clients; a fleet that returns after a restart."""
    figures: list[Figure] = list(of_a_fleet(SHORT).figures(_nothing))
    by_name = {(figure.work, figure.label, figure.quantity) for figure in figures}
    assert len(by_name) == len(figures)
    for figure in figures:
        assert figure.samples, figure
        if figure.quantity in {"rows that failed", "agents lost", "failures"}:
            assert figure.median == 0, figure


def test_two_coordinators_are_compared_with_one() -> None:
    """MQTT with TLS; both coordinators answer all requests completely."""
    figures = list(of_two_coordinators(several.SHORT).figures(_nothing))
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


def _works() -> Iterator[Work]:
    def good() -> Iterator[Figure]:
        yield Figure("good", "coordinator", "answer", "ms", (3.0,), at_most=2.0)

    def bad() -> Iterator[Figure]:
        yield Figure("bad", "coordinator", "answer", "ms", (1.0,), at_most=2.0)
        raise ConnectionError("lost")

    yield Work("bad", bad)
    yield Work("good", good)


def test_work_that_fails_does_not_lose_the_figures_of_others() -> None:
    """Nor those that it had before; the failure is one of the lines of what is not reached."""
    said: list[str] = []
    figures = list(carried_out(_works(), say=said.append, until=float("inf")))
    assert [figure.samples for figure in figures] == [(1.0,), (), (3.0,)]
    assert said == ["bad failed: ConnectionError: lost"]
    assert shortfalls(figures) == [
        "bad: failed: ConnectionError: lost",
        "good: answer: 3 ms; required: at most 2",
    ]


def test_work_is_not_begun_when_the_time_is_over() -> None:
    figures = list(carried_out(_works(), say=_nothing, until=time.monotonic()))
    assert [figure.samples for figure in figures] == [(), ()]
    assert all("not measured" in line for line in shortfalls(figures))
