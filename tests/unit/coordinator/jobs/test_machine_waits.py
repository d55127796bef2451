"""Rows of colos whose agents are still coming, and a coordinator that was held up."""

import pytest
from colotrace_coordinator.jobs.machine import READ_S, State
from colotrace_proto.deadlines import AGENT_MARGIN_S, BROKER_LOST_ACCEPT_S, LEAST_TRACE_S
from colotrace_proto.messages import Failure, RefusalReason
from unit.coordinator.jobs.virtual import DEADLINE, Clockwork


def test_row_waits_for_its_colo() -> None:
    """Within the time after the start: the first agent that attaches has the job."""
    run = Clockwork(wait_until=10.0)
    run.until(9.0)
    assert run.machine.state is State.WAITING
    run.attach("a")
    run.accept()
    run.frame(1, 2, failure=Failure.NONE)
    assert run.result.fault is None


def test_colo_that_does_not_come_gives_code_1_when_the_wait_is_over() -> None:
    """Not before, and not later."""
    run = Clockwork(wait_until=10.0)
    run.until(9.99)
    assert run.machine.state is State.WAITING
    run.until(10.0)
    assert run.failed[0] == 1


def test_row_begun_after_the_wait_gives_code_1_at_once() -> None:
    run = Clockwork(start=False, wait_until=10.0)
    run.now = 10.0
    run.settle()
    assert run.failed[0] == 1


def test_wait_ends_before_the_deadline() -> None:
    """A request of which much time is spent is answered in time, and says why."""
    run = Clockwork(wait_until=DEADLINE + 10)
    run.until(DEADLINE - LEAST_TRACE_S)
    assert run.failed[0] == 1


def test_broker_that_has_not_answered_yet_is_waited_for() -> None:
    """It is the coordinator that has just come."""
    run = Clockwork("a", start=False, wait_until=10.0)
    run.blocked = "the broker has not answered yet"
    run.settle()
    assert run.machine.state is State.WAITING
    run.blocked = ""
    run.machine.agent_available()
    run.settle()
    assert run.offers == ["a"]


def test_row_waits_until_the_broker_announces_an_agent() -> None:
    """The agent's stream attached before the broker announced the agent."""
    run = Clockwork(start=False, wait_until=10.0)
    run.attach("a", draining=True, away=True)
    assert run.machine.state is State.WAITING
    run.attach("a")
    assert run.offers == ["a"]


def test_row_does_not_wait_for_an_agent_that_is_being_stopped() -> None:
    run = Clockwork(start=False, wait_until=10.0)
    run.attach("a", draining=True)
    assert run.failed[0] == 1


@pytest.mark.parametrize("shared", [False, True])
def test_offer_on_its_way_to_a_broker_that_is_lost_is_no_agents_fault(shared: bool) -> None:
    """Code 1 and the broker's fault, not "did not answer"."""
    run = Clockwork("a", "b", shared=shared)
    run.blocked = "the broker was lost"
    run.until(BROKER_LOST_ACCEPT_S - 0.1)
    assert run.machine.state is State.OFFERED
    run.until(BROKER_LOST_ACCEPT_S)
    code, words = run.failed
    assert code == 1
    assert words.endswith("the broker was lost")
    assert run.result.moved == ()


@pytest.mark.parametrize("shared", [False, True])
def test_offer_that_came_before_the_broker_was_lost_is_still_accepted(shared: bool) -> None:
    """The answer comes by the agent's own stream."""
    run = Clockwork("a", "b", shared=shared)
    run.blocked = "the broker was lost"
    run.until(1.0)
    run.accept()
    run.frame(1, 2, failure=Failure.NONE)
    assert run.result.fault is None


def test_row_waits_beside_an_agent_that_is_being_stopped() -> None:
    """One agent is announced and stopping; the other is not announced yet."""
    run = Clockwork(start=False, wait_until=10.0)
    run.attach("a", draining=True, settle=False)
    run.attach("b", draining=True, away=True)
    assert run.machine.state is State.WAITING
    run.attach("b")
    assert run.offers == ["b"]


def test_refusal_while_agents_are_coming_does_not_wait() -> None:
    """An agent is there and has answered."""
    run = Clockwork("a", wait_until=10.0)
    run.refuse(RefusalReason.POLICY)
    assert run.result.fault is not None
    assert run.now == 0.0


def test_held_up_deadline_stays_in_real_time() -> None:
    """The clock stood still for 10 s: the job has 10 s less of its own time."""
    run = Clockwork("a")
    run.accept()
    run.until(1.0)
    run.machine.held_up(run.now, by_s=10.0)
    assert run.machine.next_deadline() is not None
    for second in range(1, 14):
        run.until(float(second))
        run.heard("a")
    run.until(DEADLINE - 10.0 - 0.01)
    assert run.machine.state is State.RUNNING
    run.until(DEADLINE - 10.0)
    assert run.failed[0] == 2


@pytest.mark.parametrize("by_s", [20.0, 30.0, 3600.0])
def test_held_up_past_the_deadline_still_takes_what_waits(by_s: float) -> None:
    """The deadline comes when the clock goes on, after the input that waited has been read."""
    run = Clockwork("a")
    run.accept()
    run.until(2.0)
    run.heard("a")
    run.machine.held_up(run.now, by_s=by_s)
    run.until(2.0 + READ_S / 2)
    run.frame(1, 3, failure=Failure.NONE)
    assert run.result.fault is None


def test_offer_after_a_hold_up_has_the_time_that_is_left() -> None:
    """An agent must end before the answer is due, by everybody's clock."""
    run = Clockwork(wait_until=10.0)
    run.machine.held_up(run.now, by_s=3.5)
    run.attach("a")
    (offer,) = run.sent
    assert offer.job.remaining_ms == round((DEADLINE - 3.5 - AGENT_MARGIN_S) * 1000)  # type: ignore[union-attr]
