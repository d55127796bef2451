"""Whom a row names whose time ran out, after this coordinator has delayed its job."""

import pytest
from colotrace_proto.messages import Failure, RefusalReason
from unit.coordinator.jobs.virtual import DEADLINE, Clockwork


@pytest.mark.parametrize(("delayed_s", "named"), [(0.0, False), (0.9, False), (20.0, True)])
def test_row_without_enough_time_names_who_took_it(delayed_s: float, named: bool) -> None:
    """Once the coordinator has delayed the job by a second; the agent did not finish."""
    for reports in (True, False):
        run = Clockwork("a")
        run.machine.delayed_s = delayed_s
        run.accept()
        if reports:
            run.frame(1, 1, failure=Failure.DEADLINE)
        for second in range(1, 24):
            run.until(second)
            if run.agents:
                run.heard("a")
        run.until(DEADLINE)
        words = run.failed[1]
        assert words.startswith("agent a had not finished when the answer was due")
        assert ("the coordinator is overloaded, and delayed it by 20.0 s" in words) is named
        assert run.result.fault is not None
        assert run.result.fault.own is named


def test_job_held_up_until_it_was_too_late_to_offer_names_the_coordinator() -> None:
    run = Clockwork("a", start=False)
    run.machine.held_up(0.0, by_s=DEADLINE - 0.5)
    run.settle()
    assert run.offers == []
    assert run.failed[1].startswith("the coordinator is overloaded")


def test_job_held_up_after_agents_were_busy_names_these() -> None:
    run = Clockwork("a")
    run.refuse(RefusalReason.BUSY)
    run.machine.held_up(0.0, by_s=DEADLINE - 0.5)
    run.until(1.0)
    assert "busy" in run.failed[1]
