"""Agents that fall silent, lose their stream or restart, in virtual time."""

from colotrace_coordinator.jobs.machine import State
from colotrace_proto.messages import (
    Failure,
)
from unit.coordinator.jobs.virtual import Clockwork


def test_silent_agent_loses_the_job() -> None:
    """Accepted, then neither frame nor heartbeat for 3 s: fresh trace elsewhere."""
    run = Clockwork("a", "b")
    run.until(0.2)
    run.accept()
    run.until(3.1)
    assert run.offers == ["a"]
    run.until(3.2)
    assert run.offers == ["a", "b"]
    assert run.cancels == [("a", "j1")]
    run.accept()
    run.frame(1, 1, failure=Failure.NONE)
    assert run.result.fault is None
    assert run.result.moved == ("agent a fell silent while tracing: nothing came for 3 s",)


def test_heartbeats_keep_a_slow_job() -> None:
    """An agent that beats each second is not silent, whatever the trace takes."""
    run = Clockwork("a", "b")
    run.accept()
    for second in range(1, 23):
        run.until(second)
        run.heard("a")
    assert run.offers == ["a"]
    assert run.holder == "a"


def test_job_resumes_after_a_dropped_stream() -> None:
    """Back within the grace with the job: it goes on, and no frame counts twice."""
    run = Clockwork("a", "b")
    run.accept()
    run.frame(1, 2)
    run.detach("a")
    run.until(1.9)
    run.back("a", run.job_id)
    assert run.frame(1, 2) == 1
    assert run.frame(2, 1, failure=Failure.NONE) == 2
    assert run.offers == ["a"]
    assert len(run.result.replies.ttl) == 3


def test_stream_that_does_not_return_in_time_moves_the_job() -> None:
    """Two seconds later it is a lost agent; nothing is sent to it."""
    run = Clockwork("a", "b")
    run.accept()
    run.until(0.5)
    run.detach("a")
    run.until(2.4)
    assert run.offers == ["a"]
    run.until(2.5)
    assert run.offers == ["a", "b"]
    assert run.cancels == []


def test_loss_of_the_only_agent_ends_the_job() -> None:
    """Code 2 with the hops so far, as soon as the grace is over."""
    run = Clockwork("a")
    run.until(0.1)
    run.accept()
    run.until(0.4)
    run.frame(1, 4)
    run.detach("a")
    run.until(2.4)
    assert run.failed == (2, "agent a was lost while tracing")
    assert len(run.result.replies.ttl) == 4
    assert run.result.duration_ns == 2_300_000_000


def test_stream_dropped_before_the_acceptance() -> None:
    """An offer that may never have arrived is made elsewhere after the usual 500 ms."""
    run = Clockwork("a", "b")
    run.until(0.1)
    run.detach("a")
    run.until(0.5)
    assert run.offers == ["a", "b"]
    assert run.cancels == []


def test_acceptance_lost_with_the_stream_is_inferred() -> None:
    """The agent comes back with the job that it had accepted: running."""
    run = Clockwork("a")
    run.detach("a")
    run.back("a", run.job_id)
    assert run.machine.state is State.RUNNING


def test_offer_lost_with_the_stream() -> None:
    """The agent comes back without ever having seen the offer: it is asked again."""
    run = Clockwork("a")
    run.detach("a")
    run.until(1.0)
    run.back("a")
    assert run.offers == ["a", "a"]


def test_agent_that_returns_without_the_job_loses_it() -> None:
    """Accepted, and gone when the same process comes back: somebody else's now."""
    run = Clockwork("a", "b")
    run.accept()
    run.detach("a")
    run.back("a")
    assert run.offers == ["a", "b"]


def test_restarted_agent_is_another_process() -> None:
    """Its old job is lost at once, and it may have it as a fresh trace."""
    run = Clockwork("a")
    run.accept()
    run.frame(1, 1)
    run.detach("a")
    run.until(0.3)
    run.attach("a", boot=1, settle=False)
    run.machine.agent_replaced(run.now)
    run.settle()
    assert run.offers == ["a", "a"]
    assert run.cancels == []
    run.accept()
    run.frame(1, 2, failure=Failure.NONE)
    assert run.result.moved == ("agent a restarted while tracing",)
    assert len(run.result.replies.ttl) == 2


def test_job_that_lost_three_agents_ends() -> None:
    """It may be what breaks them: it is not given to a fourth."""
    run = Clockwork("a", "b", "c", "d")
    for name in "abc":
        assert run.holder == name
        run.accept()
        run.detach(name)
        run.until(run.now + 2)
    assert run.failed[0] == 2
    assert run.offers == ["a", "b", "c"]


def test_failed_job_shows_the_furthest_attempt() -> None:
    """The second attempt was lost too, with less: the first one's hops are shown."""
    run = Clockwork("a", "b")
    run.accept()
    run.frame(1, 5)
    run.detach("a")
    run.until(2.0)
    run.accept()
    run.frame(1, 2)
    run.detach("b")
    run.until(4.0)
    assert len(run.result.replies.ttl) == 5
    assert run.failed == (2, "agent b was lost while tracing")
    assert run.result.moved == ("agent a was lost while tracing",)
