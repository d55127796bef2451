"""What an agent reports: outcomes, gaps, and more than its job can yield."""

import pytest
from colotrace_coordinator.jobs.commands import Offer, Resync
from colotrace_coordinator.jobs.machine import State
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    MAX_JOB_PROBES,
    Edge,
    Failure,
    FlowFields,
    Frame,
    JobId,
    Node,
    Outcome,
    PacketType,
    Replies,
)
from unit.coordinator.jobs.virtual import Clockwork, key


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


def test_frame_before_accept_counts_as_accept() -> None:
    """A resumed stream may begin with frames."""
    run = Clockwork("a")
    run.frame(1, 1)
    assert run.machine.state is State.RUNNING


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


def numbered(run: Clockwork, sequence: int, *, flow: int, flows: int, last: bool = False) -> Frame:
    """A frame with one reply of that flow, which adds so many flows to those of the job."""
    return Frame(
        run.job_id,
        sequence,
        sent=(3,),
        replies=Replies((1,), (5,), (0,), (Node(bytes(4)),), (sequence,), (flow,)),
        outcome=Outcome(Failure.NONE) if last else None,
        source_address=bytes([10, 0, 0, 1]) if sequence == 1 else b"",
        flows=(FlowFields(PacketType.UDP, source_port=20_000 + sequence),) * flows,
    )


def test_result_has_ordinals_flows_and_source_address() -> None:
    """Flows add up over the frames; the source address stays."""
    run = Clockwork("a", options=Options(multipath=True))
    run.accept()
    run.machine.frame(run.now, numbered(run, 1, flow=0, flows=1))
    run.machine.frame(run.now, numbered(run, 2, flow=1, flows=1, last=True))
    result = run.result
    assert (result.replies.ordinal, result.replies.flow) == ((1, 2), (0, 1))
    assert [flow.source_port for flow in result.flows] == [20_001, 20_002]
    assert result.source_address == bytes([10, 0, 0, 1])


def test_agent_without_ordinals_is_traced() -> None:
    """As of release 0.2."""
    run = Clockwork("a")
    run.accept()
    run.frame(1, 2)
    run.frame(2, failure=Failure.NONE)
    assert run.result.fault is None
    assert (run.result.replies.ordinal, run.result.flows) == ((), ())
    assert run.result.source_address == b""


@pytest.mark.parametrize(("flow", "flows"), [(0, 0), (1, 1), (0, 46)])
def test_flow_that_the_job_does_not_have_ends_the_attempt(flow: int, flows: int) -> None:
    """A flow that no frame has named, or more flows than the job has probes."""
    run = Clockwork("a")
    run.accept()
    run.machine.frame(run.now, numbered(run, 1, flow=flow, flows=flows))
    run.settle()
    assert "probes that the job does not have" in run.failed[1]
