"""Shared offers: any agent of the colo may take them."""

import pytest
from colotrace_coordinator.jobs.commands import Offer
from colotrace_coordinator.jobs.machine import State
from colotrace_proto.messages import (
    Failure,
    RefusalReason,
)
from unit.coordinator.jobs.virtual import Clockwork


def shared(*agents: str) -> Clockwork:
    """A job whose first offer is published to these agents."""
    return Clockwork(*agents, shared=True)


def offered(run: Clockwork) -> list[tuple[str, bool]]:
    """The agent of each offer, and whether the offer was shared."""
    return [(c.agent.agent_id, c.shared) for c in run.sent if isinstance(c, Offer)]


def test_first_offer_to_several_agents_is_shared() -> None:
    """The agent that accepts has the job; only its loss moves it."""
    run = shared("a", "b", "c")
    assert offered(run) == [("a", True)]
    run.accept_by("b")
    assert run.holder == "b"
    run.detach("a")
    run.until(1.0)
    run.frame(1, 2)
    run.detach("b")
    run.until(3.0)
    assert offered(run) == [("a", True), ("c", False)]


def test_offer_that_a_drained_agent_could_take_is_not_shared() -> None:
    """The broker would deliver it to any agent of the colo."""
    run = Clockwork(start=False, shared=True)
    for name in ("a", "b"):
        run.attach(name, settle=False)
    run.attach("c", drained=True, settle=False)
    run.settle()
    assert offered(run) == [("a", False)]


def test_offer_to_the_only_agent_is_not_shared() -> None:
    """No other agent could take it."""
    assert offered(shared("a")) == [("a", False)]


def test_unanswered_shared_offer_moves_the_job() -> None:
    """Agents are offered it one by one then; none counts as tried or as lost."""
    run = shared("a", "b", "c")
    run.until(0.5)
    assert run.cancels == [("a", "j1")]
    assert offered(run) == [("a", True), ("a", False)]
    run.until(1.0)
    run.until(1.5)
    assert [name for name, _ in offered(run)] == ["a", "a", "b", "c"]
    run.accept()
    run.frame(1, 1, failure=Failure.NONE)
    assert run.result.fault is None
    assert run.result.moved[0] == (
        "none of den01's agents took the job within 0.5 s of its being published"
    )


def test_only_agent_left_is_offered_the_job_after_a_shared_offer() -> None:
    """Its answer may take longer: a slow answer is better than none."""
    run = shared("a", "b")
    run.detach("a")
    run.until(0.5)
    assert offered(run) == [("a", True), ("b", False)]
    run.until(3.4)
    run.accept()
    run.frame(1, 1, failure=Failure.NONE)
    assert run.result.fault is None


def test_loss_of_the_agent_chosen_first_ends_no_shared_offer() -> None:
    """Neither do its stream and its restart."""
    run = shared("a", "b")
    run.detach("a")
    run.machine.agent_replaced(run.now)
    run.machine.offer_lost(run.now)
    run.back("a")
    assert offered(run) == [("a", True)]
    run.detach("a")
    run.accept_by("b")
    run.until(2.9)
    assert run.holder == "b"
    assert run.machine.state is State.RUNNING


def test_refusal_of_a_shared_offer_excludes_its_sender() -> None:
    """The agent that was chosen first can still be offered the job."""
    run = shared("a", "b")
    run.refuse(RefusalReason.POLICY, by="b")
    assert offered(run) == [("a", True), ("a", False)]
    run.refuse(RefusalReason.POLICY)
    assert run.failed[0] == 3


def test_busy_agent_refuses_a_shared_offer() -> None:
    """It is offered the job again after its back-off."""
    run = shared("a", "b")
    run.refuse(RefusalReason.BUSY, by="b")
    run.refuse(RefusalReason.BUSY)
    assert run.machine.state is State.WAITING
    run.until(0.1)
    assert offered(run)[2] == ("a", False) or offered(run)[2] == ("b", False)


def test_frame_assigns_a_shared_offer() -> None:
    """A resumed stream may begin with frames: the attempt is that agent's from then on."""
    run = shared("a", "b")
    run.frame(1, 1)
    run.detach("a")
    run.until(2.0)
    assert offered(run) == [("a", True), ("b", False)]


def test_offer_that_cannot_have_arrived_is_repeated() -> None:
    """At once, to the same agent; what runs goes on."""
    run = Clockwork("a")
    run.machine.offer_lost(run.now)
    run.settle()
    assert run.offers == ["a", "a"]
    run.accept()
    run.machine.offer_lost(run.now)
    run.settle()
    assert run.machine.state is State.RUNNING


def test_new_stream_does_not_lose_a_published_offer() -> None:
    """An agent opens its stream for its first job."""
    run = shared("a")
    run.back("a")
    assert run.machine.state is State.OFFERED
    run.accept()
    run.detach("a")
    run.back("a")
    assert run.failed == (2, "agent a lost its connection, and the job with it")


def test_blocked_offers_fail_the_job() -> None:
    """Code 1 at once with the reason, whether or not agents are attached."""
    run = Clockwork("a", "b", start=False)
    run.blocked = "the broker is away"
    run.settle()
    assert run.failed == (1, "no agent of den01 can be asked: the broker is away")
    assert run.offers == []


@pytest.mark.parametrize("reason", [RefusalReason.BUSY, RefusalReason.POLICY])
def test_blocked_offers_outweigh_a_refusal(reason: RefusalReason) -> None:
    """Why those asked before would not have it matters less."""
    run = Clockwork("a", "b")
    run.blocked = "the broker is away"
    run.refuse(reason)
    assert run.failed == (1, "no agent of den01 can be asked: the broker is away")


def test_running_job_survives_blocked_offers() -> None:
    """The job continues. If its agent is lost meanwhile, the row names that loss."""
    run = Clockwork("a", "b")
    run.accept()
    run.frame(1, 2)
    run.blocked = "the broker is away"
    run.until(1.0)
    assert run.machine.state is State.RUNNING
    run.detach("a")
    run.until(3.0)
    assert run.failed == (2, "agent a was lost while tracing")
    assert len(run.result.replies.ttl) == 2
