"""Which runs may still be joined."""

from colotrace_coordinator.jobs.coalesce import Recent
from colotrace_proto.deadlines import JOIN_WINDOW_S


def test_joined_within_the_window_only() -> None:
    """The same run until 200 ms after it began, and none after."""
    recent: Recent[str, object] = Recent()
    run = object()
    recent.add("a", run, 0.0)
    assert recent.find("a", 0.0) is run
    assert recent.find("a", JOIN_WINDOW_S - 0.01) is run
    assert recent.find("b", 0.1) is None
    assert recent.find("a", JOIN_WINDOW_S) is None


def test_old_runs_are_let_go() -> None:
    """Nothing piles up."""
    recent: Recent[int, object] = Recent()
    for number in range(1000):
        recent.add(number, object(), number * 0.01)
    assert len(recent) <= 21


def test_old_runs_are_let_go_a_few_at_a_time() -> None:
    """To free thousands of jobs takes tens of milliseconds."""
    recent: Recent[int, object] = Recent()
    for number in range(1000):
        recent.add(number, object(), 0.0)
    recent.add(-1, object(), 1.0)
    assert len(recent) > 990
    for number in range(1000, 1400):
        recent.add(number, object(), 1.0)
    assert len(recent) == 401


def test_run_that_has_ended_is_kept_for_the_window_only() -> None:
    recent: Recent[str, object] = Recent()
    short, long = object(), object()
    recent.add("short", short, 0.0)
    recent.ended("short", short, 0.1)
    assert recent.find("short", 0.1) is short
    recent.add("long", long, 0.0)
    recent.ended("long", long, 1.0)
    assert len(recent) == 1


def test_forgotten_runs_are_not_joined() -> None:
    """Only the run itself can be forgotten, not the one that came after it."""
    recent: Recent[str, object] = Recent()
    old, new = object(), object()
    recent.add("a", old, 0.0)
    recent.forget("a", old)
    assert recent.find("a", 0.0) is None
    recent.add("a", new, 0.1)
    recent.forget("a", old)
    assert recent.find("a", 0.1) is new
