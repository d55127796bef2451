"""What a job has sent in all, as far as its agents tell it for certain."""

import pytest
from colotrace_coordinator.jobs.faults import busy
from colotrace_proto.messages import ColoName, Failure, RefusalReason
from unit.coordinator.jobs.virtual import Clockwork


def test_traced_job_has_sent_what_its_agent_reports() -> None:
    run = Clockwork("a")
    run.accept()
    run.frame(1, 4, failure=Failure.NONE)
    assert run.machine.sent == 4


@pytest.mark.parametrize("failure", [Failure.DEADLINE, Failure.SEND, Failure.UNRESOLVABLE])
def test_failed_job_has_sent_what_its_agent_reports(failure: Failure) -> None:
    run = Clockwork("a")
    run.accept()
    run.frame(1, 3, failure=failure)
    assert run.result.fault is not None
    assert run.machine.sent == 3


def test_job_without_an_agent_has_sent_nothing() -> None:
    run = Clockwork()
    assert run.failed[0] == 1
    assert run.machine.sent == 0


def test_job_that_was_never_offered_has_sent_nothing() -> None:
    run = Clockwork("a", start=False)
    run.machine.give_up(0.0, busy(ColoName("den01")))
    assert run.machine.sent == 0
    run = Clockwork("a", start=False)
    run.machine.cancel(0.0)
    assert run.machine.sent == 0


@pytest.mark.parametrize("reason", [RefusalReason.BUSY, RefusalReason.UNSUPPORTED])
def test_agent_that_refused_has_sent_nothing(reason: RefusalReason) -> None:
    run = Clockwork("a", "b")
    run.refuse(reason)
    run.accept()
    run.frame(1, 4, failure=Failure.NONE)
    assert run.machine.sent == 4


def test_packets_of_all_agents_that_probed_count() -> None:
    """The first gave the job up in the middle, the second finished it."""
    run = Clockwork("a", "b")
    run.accept()
    run.frame(1, 3, failure=Failure.CANCELLED)
    run.accept()
    run.frame(1, 4, failure=Failure.NONE)
    assert run.offers == ["a", "b"]
    assert run.machine.sent == 7


def test_lost_agent_may_have_sent_more_than_it_reported() -> None:
    run = Clockwork("a", "b")
    run.accept()
    run.frame(1, 1)
    run.until(3.2)
    run.accept()
    run.frame(1, 4, failure=Failure.NONE)
    assert run.offers == ["a", "b"]
    assert run.machine.sent is None


def test_agent_that_did_not_answer_may_have_sent_something() -> None:
    run = Clockwork("a", "b")
    run.until(0.5)
    run.accept()
    run.frame(1, 4, failure=Failure.NONE)
    assert run.offers == ["a", "b"]
    assert run.machine.sent is None


def test_agent_with_a_fault_may_have_sent_more_than_it_reports() -> None:
    """Its last frame then tells nothing of the probes."""
    run = Clockwork("a")
    run.accept()
    run.frame(1, 0, failure=Failure.INTERNAL)
    assert run.machine.sent is None


def test_cancelled_job_may_have_sent_something() -> None:
    run = Clockwork("a")
    run.accept()
    run.machine.cancel(0.0)
    assert run.machine.sent is None
