"""How quickly an agent answers if nothing delays it."""

import pytest
from colotrace_coordinator.fleet.quickest import ASSUMED_S, PERIOD_S, Quickest


def test_quickest_answer_counts() -> None:
    quickest = Quickest()
    quickest.add(0.0, 0.05)
    assert quickest.add(1.0, 1.03) == pytest.approx(0.03)
    assert quickest.add(2.0, 2.40) == pytest.approx(0.03)


def test_first_answers_are_not_trusted() -> None:
    """All that were asked before the first one came may have been delayed together."""
    quickest = Quickest()
    assert quickest.add(0.0, 0.4) == ASSUMED_S
    assert quickest.add(0.3, 0.6) == ASSUMED_S
    assert quickest.add(0.6, 1.0) == pytest.approx(0.3)


def test_path_may_become_longer() -> None:
    """What was quickest before is forgotten after one or two periods."""
    quickest = Quickest()
    quickest.add(0.0, 0.02)
    quickest.add(1.0, 1.02)
    assert quickest.add(PERIOD_S + 1, PERIOD_S + 1.3) == pytest.approx(0.02)
    quickest.add(1.5 * PERIOD_S, 1.5 * PERIOD_S + 0.3)
    assert quickest.add(2 * PERIOD_S + 10, 2 * PERIOD_S + 10.3) == pytest.approx(0.3)


def test_quickest_answer_of_long_ago_is_forgotten() -> None:
    quickest = Quickest()
    quickest.add(0.0, 0.02)
    late = quickest.add(9 * PERIOD_S, 9 * PERIOD_S + 0.3)
    assert late == pytest.approx(ASSUMED_S)
    assert quickest.add(9 * PERIOD_S + 1, 9 * PERIOD_S + 1.3) == pytest.approx(0.3)
