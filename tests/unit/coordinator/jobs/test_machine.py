"""One job's way from agent to agent, in virtual time."""

import pytest
from colotrace_coordinator.jobs.commands import Offer
from colotrace_coordinator.jobs.machine import State
from colotrace_proto.deadlines import SOLE_ACCEPT_S
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    Failure,
    Family,
    PacketType,
    RefusalReason,
)
from colotrace_proto.notices import Notice, NoticeCode
from unit.coordinator.jobs.virtual import BOTH, DEADLINE, Clockwork, key


def test_traced_target_ends_the_job() -> None:
    """Offered, accepted, two frames, done: no fault, all replies, the agent's own duration."""
    run = Clockwork("a")
    assert run.offers == ["a"]
    run.accept()
    assert run.frame(1, 2) == 1
    assert run.frame(2, 3, failure=Failure.NONE, notices=(Notice(NoticeCode.DETOUR),)) == 2
    assert run.result.fault is None
    assert len(run.result.replies.ttl) == 5
    assert run.result.duration_ns == 7
    assert run.result.notices == (Notice(NoticeCode.DETOUR),)
    assert run.cancels == []
    assert run.machine.next_deadline() is None


def test_offer_carries_the_options_and_what_is_left_of_the_time() -> None:
    """The agent gets less time than the job, so that its last frame arrives in time."""
    options = Options(PacketType.UDP, max_ttl=7, packets_per_ttl=2, wait_ms=500, port=53, flow=9)
    run = Clockwork("a", options=options)
    (offer,) = run.sent
    assert isinstance(offer, Offer)
    job = offer.job
    assert (job.target, job.packet_type, job.max_ttl) == ("target", PacketType.UDP, 7)
    assert (job.packets_per_ttl, job.wait_ms, job.port, job.flow) == (2, 500, 53, 9)
    assert job.remaining_ms == 23_200


def test_least_loaded_agent_is_offered_the_job() -> None:
    """Fewest running jobs first; of equals the one that came first."""
    run = Clockwork(start=False)
    run.attach("a", running=2, settle=False)
    run.attach("b", running=1, settle=False)
    run.attach("c", running=1, settle=False)
    run.settle()
    assert run.offers == ["b"]


def test_colo_without_agents_fails_at_once() -> None:
    """A colo without agents: Code 1 without waiting, and what to look at."""
    run = Clockwork()
    code, words = run.failed
    assert code == 1
    assert "no agent of den01 is attached" in words


def test_draining_agents_are_not_offered_the_job() -> None:
    """Agents that are being stopped are not asked."""
    run = Clockwork(start=False)
    run.attach("a", draining=True, settle=False)
    run.settle()
    assert run.offers == []
    assert run.failed == (1, "every agent of den01 is being stopped and takes no new job")


@pytest.mark.parametrize("others", [[], [{"draining": True}]])
def test_agent_missing_at_the_broker_is_not_reported_as_stopping(
    others: list[dict[str, bool]],
) -> None:
    run = Clockwork(start=False)
    run.attach("a", draining=True, away=True, settle=False)
    for each in others:
        run.attach("b", settle=False, **each)
    run.settle()
    code, words = run.failed
    assert code == 1
    assert "missing at the broker" in words
    assert ("being stopped" in words) is bool(others)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], "every agent of den01 is drained by an operator and takes no new job"),
        (
            [{"draining": True}],
            "every agent of den01 is drained by an operator or is being stopped",
        ),
    ],
)
def test_drained_agents_are_not_offered_the_job(others: list[dict[str, bool]], words: str) -> None:
    """The row says who wanted that."""
    run = Clockwork(start=False)
    run.attach("a", drained=True, settle=False)
    for each in others:
        run.attach("b", settle=False, **each)
    run.settle()
    assert run.offers == []
    assert run.failed == (1, words)


def test_unsupported_packet_type_fails() -> None:
    """Code 1, and that a newer agent may know it."""
    run = Clockwork(start=False)
    run.attach("a", packet_types=frozenset({PacketType.UDP}), settle=False)
    run.settle()
    assert run.failed == (1, "no agent of den01 can send icmp probes; a newer agent may")


def test_address_of_a_family_that_no_agent_has_fails() -> None:
    """An IPv6 address where all agents have IPv4 alone: Code 3 at once."""
    run = Clockwork(family=Family.IPV6, start=False)
    run.attach("a", families=frozenset({Family.IPV4}), settle=False)
    run.settle()
    assert run.failed == (3, "no agent of den01 has an IPv6 address to trace from")


@pytest.mark.parametrize("family", [None, Family.IPV4])
def test_agents_without_an_address_fail(family: Family | None) -> None:
    """A name or an address where no agent has any family: Code 3 at once; else the other agent."""
    run = Clockwork(family=family, start=False)
    run.attach("a", families=frozenset(), settle=False)
    run.settle()
    assert run.failed is not None
    assert run.failed[0] == 3
    run = Clockwork(family=family, start=False)
    run.attach("a", families=frozenset(), settle=False)
    run.attach("b", families=BOTH, settle=False)
    run.settle()
    assert run.offers == ["b"]


def test_agent_with_the_targets_family_is_offered_the_job() -> None:
    """Others of the colo may lack it."""
    run = Clockwork(family=Family.IPV6, start=False)
    run.attach("a", families=frozenset({Family.IPV4}), settle=False)
    run.attach("b", families=BOTH, settle=False)
    run.settle()
    assert run.offers == ["b"]


@pytest.mark.parametrize(
    "reason",
    [
        RefusalReason.DRAINING,
        RefusalReason.UNSUPPORTED,
        RefusalReason.POLICY,
        RefusalReason.NO_FAMILY,
        RefusalReason.NO_SOCKET,
        RefusalReason.UNSPECIFIED,
    ],
)
def test_refusal_moves_the_job_at_once_under_a_new_id(reason: RefusalReason) -> None:
    """Whatever the reason, another agent of the colo is asked in the same instant."""
    run = Clockwork("a", "b")
    first = run.job_id
    run.refuse(reason)
    assert run.offers == ["a", "b"]
    assert run.job_id != first
    assert run.cancels == []


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        (RefusalReason.DRAINING, 1, "agent a is being stopped"),
        (RefusalReason.UNSUPPORTED, 1, "does not know what is asked of it; a newer agent may: why"),
        (RefusalReason.NO_SOCKET, 1, "agent a cannot send probes; look at its log: why"),
        (RefusalReason.UNSPECIFIED, 1, "agent a refused: why"),
        (RefusalReason.POLICY, 3, "the owner of agent a forbids it: why"),
        (RefusalReason.NO_FAMILY, 3, "no working address of the target's family: why"),
    ],
)
def test_refusal_of_the_only_agent_ends_the_job(
    reason: RefusalReason, code: int, words: str
) -> None:
    """Nobody else to ask: the code by the reason, and the agent's own words."""
    run = Clockwork("a")
    run.refuse(reason, "why")
    assert run.failed[0] == code
    assert words in run.failed[1]


def test_a_loss_outweighs_a_later_refusal() -> None:
    """What came furthest stands for the job."""
    run = Clockwork("a", "b")
    run.accept()
    run.frame(1, 3)
    run.detach("a")
    run.until(2.0)
    run.refuse(RefusalReason.POLICY)
    assert run.failed == (2, "agent a was lost while tracing")
    assert len(run.result.replies.ttl) == 3


def test_busy_agent_is_asked_again() -> None:
    """With longer and longer pauses, and taken when it has room."""
    run = Clockwork("a")
    run.refuse(RefusalReason.BUSY)
    assert run.machine.state is State.WAITING
    run.until(0.09)
    assert run.offers == ["a"]
    run.until(0.1)
    assert run.offers == ["a", "a"]
    run.refuse(RefusalReason.BUSY)
    run.until(0.29)
    assert run.offers == ["a", "a"]
    run.until(0.31)
    run.accept()
    run.frame(1, 1, failure=Failure.NONE)
    assert run.result.fault is None
    assert run.result.moved == ()


def test_busy_agent_loses_the_job_to_another() -> None:
    """No pause while somebody else may have room."""
    run = Clockwork("a", "b")
    run.refuse(RefusalReason.BUSY)
    assert run.offers == ["a", "b"]
    run.refuse(RefusalReason.POLICY)
    run.until(0.1)
    assert run.offers == ["a", "b", "a"]


def test_agents_busy_until_the_deadline_fail_the_job() -> None:
    """Code 1, before the deadline, since a trace could no longer be begun."""
    run = Clockwork("a")
    while run.machine.state is not State.ENDED:
        if run.machine.live is not None:
            run.refuse(RefusalReason.BUSY)
        run.until(run.machine.next_deadline() or run.now)
    assert run.now <= DEADLINE
    assert run.failed[0] == 1
    assert "busy until the time ran out" in run.failed[1]
    assert len(run.offers) < 40


def test_new_agent_ends_the_wait_for_a_busy_one() -> None:
    """An agent that attaches while all others are busy is asked at once."""
    run = Clockwork("a")
    run.refuse(RefusalReason.BUSY)
    run.attach("b")
    assert run.offers == ["a", "b"]


def test_unanswered_offer_moves_after_500_ms() -> None:
    """The first agent is told that the job is not wanted any more."""
    run = Clockwork("a", "b")
    first = run.job_id
    run.until(0.49)
    assert run.offers == ["a"]
    run.until(0.5)
    assert run.offers == ["a", "b"]
    assert run.cancels == [("a", first)]


def test_unanswered_offer_of_the_only_agent_has_more_time() -> None:
    """The only agent of a colo may be slow to accept: up to 3 s."""
    run = Clockwork("a")
    run.until(2.9)
    run.accept()
    run.frame(1, 1, failure=Failure.NONE)
    assert run.result.fault is None

    run = Clockwork("a")
    run.until(3.0)
    assert run.failed == (2, "agent a did not answer the offer within 3 s")
    assert run.cancels == [("a", "j1")]


def test_heartbeats_of_the_only_agent_extend_its_offer() -> None:
    """It is alive, but busy. The wait still has an end."""
    run = Clockwork("a")
    for second in range(1, 8):
        run.until(float(second))
        run.heard("a")
    run.until(SOLE_ACCEPT_S - 0.1)
    assert run.machine.state is State.OFFERED
    run.until(SOLE_ACCEPT_S)
    assert run.failed == (2, "agent a did not answer the offer within 9 s")


def test_deadline_ends_a_running_job() -> None:
    """Code 2 with the hops so far at the deadline, and the job is taken back."""
    run = Clockwork("a")
    run.accept()
    run.frame(1, 2)
    for second in range(1, 24):
        run.until(second)
        run.heard("a")
    run.until(DEADLINE)
    assert run.failed[0] == 2
    assert "had not finished" in run.failed[1]
    assert len(run.result.replies.ttl) == 2
    assert run.cancels == [("a", "j1")]


def test_loss_shortly_before_the_deadline_ends_the_job() -> None:
    """Less than a second is no time for a trace: the answer is given at once."""
    run = Clockwork("a", "b")
    run.accept()
    for second in range(1, 23):
        run.until(second)
        run.heard("a")
    run.detach("a")
    run.until(DEADLINE)
    assert run.offers == ["a"]
    assert run.failed[0] == 2


def test_cancelled_job_is_cancelled_at_its_agent() -> None:
    """At the agent too; there is no result, and nothing happens after."""
    run = Clockwork("a")
    run.accept()
    run.machine.cancel(run.now)
    run.settle()
    assert run.cancels == [("a", "j1")]
    assert run.machine.result is None
    assert run.machine.next_deadline() is None
    run.machine.cancel(run.now)
    assert run.machine.take_commands() == []


def test_cancelled_job_sends_nothing_to_a_lost_agent() -> None:
    """It will learn on its return that the job is not wanted."""
    run = Clockwork("a")
    run.accept()
    run.detach("a")
    run.machine.cancel(run.now)
    run.settle()
    assert run.cancels == []


def test_another_agent_of_the_colo_may_accept() -> None:
    """Where the link lets them decide among themselves, who accepts has the job."""
    run = Clockwork("a", "b")
    run.machine.accepted(run.now, key("b"))
    assert run.holder == "b"


# Shared offers: any agent of the colo may take them.
