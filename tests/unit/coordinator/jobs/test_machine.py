"""One job's way from agent to agent, in virtual time."""

import pytest
from colotrace_coordinator.jobs.commands import Offer, Resync
from colotrace_coordinator.jobs.machine import State
from colotrace_coordinator.model import Options
from colotrace_proto.deadlines import SOLE_ACCEPT_S
from colotrace_proto.messages import (
    MAX_JOB_PROBES,
    Edge,
    Failure,
    Family,
    JobId,
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


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (Failure.UNRESOLVABLE, 3, "the name does not resolve as seen by agent a: why"),
        (Failure.NO_FAMILY, 3, "the target has no address of a family that agent a has: why"),
        (Failure.POLICY, 3, "the owner of agent a forbids it: why"),
        (Failure.SEND, 4, "agent a could not send the probes: why"),
        (Failure.DEADLINE, 2, "agent a had not finished when the answer was due"),
        (Failure.INTERNAL, 2, "agent a is at fault: why"),
        (Failure.UNSPECIFIED, 2, "agent a is at fault: why"),
        (Failure.CANCELLED, 2, "agent a gave the job up: why"),
    ],
)
def test_outcomes(failure: Failure, code: int, words: str) -> None:
    """Each failure's code and words; the hops so far are kept."""
    run = Clockwork("a")
    run.accept()
    run.frame(1, 2)
    run.frame(2, 1, failure=failure, words="why")
    assert run.failed[0] == code
    assert words in run.failed[1]
    assert len(run.result.replies.ttl) == 3
    assert run.cancels == []


@pytest.mark.parametrize("failure", [Failure.POLICY, Failure.NO_FAMILY, Failure.UNRESOLVABLE])
def test_a_target_that_may_not_be_traced_has_no_address(failure: Failure) -> None:
    """Whoever may not trace what a name leads to is not told what that is; agents before 0.2 tell
    it in words too."""
    run = Clockwork("a")
    run.accept()
    words = "10.1.2.3 is not a public address" if failure is Failure.POLICY else ""
    run.frame(1, failure=failure, words=words)
    assert run.failed[0] == 3
    assert run.result.target_address == b""
    assert "10.1.2.3" not in run.failed[1]


@pytest.mark.parametrize(
    ("failure", "moves"),
    [
        (Failure.UNRESOLVABLE, False),
        (Failure.SEND, False),
        (Failure.DEADLINE, False),
        (Failure.POLICY, True),
        (Failure.NO_FAMILY, True),
        (Failure.INTERNAL, True),
        (Failure.CANCELLED, True),
    ],
)
def test_outcomes_that_move_the_job(failure: Failure, moves: bool) -> None:
    """What is the agent's own matter moves the job; what the target's is does not."""
    run = Clockwork("a", "b")
    run.accept()
    run.frame(1, 0, failure=failure)
    assert run.offers == (["a", "b"] if moves else ["a"])


def test_gap_asks_for_a_resync() -> None:
    """A missing frame: the stream is to be ended, and what was there stays acknowledged."""
    run = Clockwork("a")
    run.accept()
    run.frame(1, 1)
    assert run.frame(3, 1) == 1
    assert run.sent[-1] == Resync(key("a"), "job j1: frame 3 came, not 2")
    assert run.machine.state is State.RUNNING


def test_repeated_gaps_move_the_job() -> None:
    """An agent that cannot close its gap loses the job."""
    run = Clockwork("a", "b")
    run.accept()
    for _ in range(3):
        run.frame(3, 1)
    assert run.offers == ["a", "b"]
    assert run.cancels == [("a", "j1")]


def test_more_replies_than_probes_move_the_job() -> None:
    """What an agent sends is bounded by what was asked; beyond that it loses the job."""
    run = Clockwork("a", options=Options(max_ttl=3, packets_per_ttl=1))
    run.accept()
    run.frame(1, 3)
    run.frame(2, 1)
    assert run.failed == (2, "agent a is at fault: it tells of probes that the job does not have")
    assert run.cancels == [("a", "j1")]


def test_ttl_beyond_the_jobs_maximum_moves_the_job() -> None:
    """A hop that was not asked for is no hop of this job."""
    run = Clockwork("a", options=Options(max_ttl=3))
    run.accept()
    run.frame(1, 4)
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


def test_frame_before_accept_counts_as_accept() -> None:
    """A resumed stream may begin with frames."""
    run = Clockwork("a")
    run.frame(1, 1)
    assert run.machine.state is State.RUNNING


def test_another_agent_of_the_colo_may_accept() -> None:
    """Where the link lets them decide among themselves, who accepts has the job."""
    run = Clockwork("a", "b")
    run.machine.accepted(run.now, key("b"))
    assert run.holder == "b"


def test_both_traces_of_gre_icmp_fit() -> None:
    """Two traces in one have twice the replies."""
    run = Clockwork("a", options=Options(PacketType.GRE_ICMP, max_ttl=3, packets_per_ttl=1))
    run.accept()
    run.frame(1, 3)
    run.frame(2, 3, failure=Failure.NONE)
    assert len(run.result.replies.ttl) == 6


def test_events_without_a_live_attempt_are_ignored() -> None:
    """What comes late for an ended job changes nothing."""
    run = Clockwork()
    result = run.result
    run.machine.stream_lost(1.0)
    run.machine.stream_back(1.0, [JobId("j1")])
    run.machine.agent_replaced(1.0)
    run.machine.agent_available()
    run.machine.accepted(1.0, key("a"))
    run.machine.place(1.0, [])
    run.machine.expire(99.0, [])
    assert run.result is result
    assert run.machine.take_commands() == []


def test_a_multipath_job_is_offered_as_such_and_has_its_own_bound() -> None:
    """Its flows are the agent's choice, within the protocol's budget; its links are passed on."""
    options = Options(max_ttl=3, packets_per_ttl=1, multipath=True)
    run = Clockwork("a", options=options)
    assert isinstance(run.sent[0], Offer)
    assert run.sent[0].job.multipath
    live = run.machine.live
    assert live is not None
    assert live.most_replies == MAX_JOB_PROBES
    run.accept()
    for sequence in range(1, 30):
        run.frame(sequence, lines=3)
    link = Edge(1, bytes(4), bytes(4), 7)
    run.frame(30, failure=Failure.NONE, links=(link,))
    assert run.result.links == (link,)
    assert len(run.result.replies.ttl) == 87


# Shared offers: any agent of the colo may take them.


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
    """Code 1 at once with the reason, whoever is attached."""
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
    """It goes on; if its agent is lost then, that is what is said."""
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
