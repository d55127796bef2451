"""What an agent may send, before anything is decoded."""

from collections.abc import Callable
from itertools import count

import grpc
import pytest
from colotrace_coordinator.fleet.link import MAX_FRAME_BYTES
from colotrace_coordinator.jobs.attempt import Attempt
from colotrace_coordinator.jobs.sent_counts import SentCounts
from colotrace_coordinator.links.direct import intake as module
from colotrace_coordinator.links.direct.intake import EXCESS_S, MAX_PLAIN_BYTES, OFFER_UNITS, Intake
from colotrace_coordinator.links.direct.stream import StreamClosedError
from colotrace_proto.codec import encode_from_agent
from colotrace_proto.codec.batches import agent_batch
from colotrace_proto.messages import FromAgent, Heartbeat, Hello, JobId
from colotrace_proto.v1 import fleet_pb2 as pb
from unit.coordinator.jobs.virtual import key
from unit.coordinator.scripted_agent import hello, path

WHO = ("holder", "den01", "a1")
J1 = JobId("j1")
BIG = pb.AgentMessage(
    frame=pb.Frame(
        job_id="nobody",
        sequence=1,
        nodes=[pb.Node(labels=["x" * 60] * 16).SerializeToString()] * 900,
    )
).SerializeToString()


class Agent:
    """An agent's messages on their way in."""

    def __init__(self, **budgets: float) -> None:
        self.now = 0.0
        self.intake = Intake(clock=lambda: self.now, **budgets)
        self.jobs: dict[JobId, bool] = {}
        self.strays: list[JobId] = []

    def say(self, message: FromAgent | bytes, who: tuple[str, str, str] = WHO) -> FromAgent | None:
        payload = message if isinstance(message, bytes) else raw(message)
        heard = self.intake.messages(
            who, payload, due=lambda job, _: self.jobs.get(job), stray=self.strays.append
        )
        return next(heard, None)


def raw(message: FromAgent) -> bytes:
    return encode_from_agent(message).SerializeToString()


def code(refused: pytest.ExceptionInfo[StreamClosedError]) -> grpc.StatusCode:
    return refused.value.code


def until_closed(call: Callable[[], object]) -> tuple[int, grpc.StatusCode]:
    """How often it can be done, and how the stream ends then."""
    for done in range(100_000):
        try:
            call()
        except StreamClosedError as closed:
            return done, closed.code
    raise AssertionError("it is never closed")


def test_frame_of_its_job_is_decoded() -> None:
    agent = Agent()
    agent.jobs[J1] = True
    assert agent.say(path(J1)) == path(J1)


def test_frame_of_an_unknown_job_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job id is all that is looked at."""
    monkeypatch.setattr(module, "parse_from_agent", lambda _: pytest.fail("decoded"))
    agent = Agent()
    assert agent.say(BIG) is None
    assert agent.strays == ["nobody"]


def test_frame_larger_than_its_job_can_yield_ends_the_stream() -> None:
    agent = Agent()
    agent.jobs[J1] = False
    with pytest.raises(StreamClosedError) as refused:
        agent.say(path(J1))
    assert code(refused) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "payload",
    [
        pb.AgentMessage(frame=pb.Frame(sequence=1)).SerializeToString(),
        pb.AgentMessage(frame=pb.Frame(job_id="a b", sequence=1)).SerializeToString(),
        pb.AgentMessage(frame=pb.Frame(job_id="x" * 65, sequence=1)).SerializeToString(),
        pb.AgentMessage(frame=pb.Frame(job_id="\xe9", sequence=1)).SerializeToString(),
        b"\x32",
        b"\x32\xff\xff\xff\xff\xff\xff",
        b"\x32\x05\x0a",
        pb.AgentMessage(refused=pb.Refused(detail="x" * MAX_PLAIN_BYTES)).SerializeToString(),
        b"\xff\xff\xff",
    ],
)
def test_invalid_message_ends_the_stream(payload: bytes) -> None:
    agent = Agent()
    agent.jobs[J1] = True
    with pytest.raises(StreamClosedError) as refused:
        agent.say(payload)
    assert code(refused) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("message", [BIG, raw(Heartbeat())])
def test_excess_ends_the_stream_and_rejects_the_next_one(message: bytes) -> None:
    """By messages or by bytes."""
    agent = Agent(agent_rate=10, agent_burst=1000)
    said, status = until_closed(lambda: agent.say(message))
    assert (said <= 1000, status) == (True, grpc.StatusCode.RESOURCE_EXHAUSTED)
    agent.now += EXCESS_S - 1
    with pytest.raises(StreamClosedError) as refused:
        agent.intake.admit(WHO)
    assert code(refused) is grpc.StatusCode.RESOURCE_EXHAUSTED
    agent.now += 2
    agent.intake.admit(WHO)


def test_other_ids_of_a_holder_share_its_budget() -> None:
    """An agent chooses its id itself; another holder is not touched."""
    agent = Agent(agent_burst=100, holder_rate=1, holder_burst=250)
    beat, ids = raw(Heartbeat()), count()
    said, _ = until_closed(lambda: agent.say(beat, ("holder", "den01", f"a{next(ids) // 99}")))
    assert said == 250
    agent.say(raw(Heartbeat()), ("another", "sin01", "a1"))


def test_offer_credits_the_agent_and_its_holder() -> None:
    """However many jobs there are."""
    agent = Agent(agent_rate=0, agent_burst=100, holder_rate=0, holder_burst=100)
    for _ in range(1000):
        agent.intake.offered(WHO)
        for _ in range(4):
            agent.say(path(J1))
    assert len(agent.strays) == 4000


def test_frames_of_its_jobs_cost_nothing() -> None:
    """They are bounded by what the jobs can yield."""
    agent = Agent(agent_rate=0, agent_burst=1)
    agent.jobs[J1] = True
    for _ in range(100):
        agent.say(path(J1))


def test_hellos_are_limited_for_each_holder() -> None:
    """Large ones sooner."""
    small, large = raw(hello()), raw(hello(held_jobs=[JobId("j" * 60)] * 10_000))
    counts = []
    for payload in (small, large):
        agent = Agent(holder_rate=0, holder_burst=1000)
        counts.append(until_closed(lambda: agent.intake.hello("holder", payload))[0])  # noqa: B023
        assert isinstance(agent.intake.hello("another", small), Hello)
    assert counts[0] > 10 * counts[1] > 0


def attempt(**more: int) -> Attempt:
    return Attempt(
        agent=key("a"),
        job_id=J1,
        offered_at=0.0,
        sent_counts=SentCounts(wait_s=1),
        **{"most_replies": 45, "max_ttl": 15, **more},  # type: ignore[arg-type]
    )


def test_job_bounds_the_size_of_its_frames() -> None:
    """A larger job has larger ones, up to what a link takes in."""
    assert attempt().admits(100_000)
    assert not attempt().admits(200_000)
    assert attempt(most_replies=640).admits(700_000)
    assert not attempt(most_replies=8192).admits(MAX_FRAME_BYTES + 1)


@pytest.mark.parametrize("size", [100, 100_000])
def test_job_bounds_frames_and_bytes_in_all(size: int) -> None:
    """Also of frames that are sent again and again."""
    running = attempt()
    admitted = 0
    while running.admits(size):
        admitted += 1
        assert admitted < 2_000
    assert admitted > 10


@pytest.mark.parametrize("payload", [b"\x0a", b"\x0a\xff", b"\x0a\x05abc", b"\xff" * 20])
def test_invalid_first_message_ends_the_stream(payload: bytes) -> None:
    """It ends the stream with a status, not with an exception of the server's."""
    with pytest.raises(StreamClosedError) as closed:
        Intake(clock=lambda: 0.0).hello("holder", payload)
    assert code(closed) is grpc.StatusCode.INVALID_ARGUMENT


def test_messages_of_a_batch_cost_as_much_as_single_ones() -> None:
    agent = Agent(agent_rate=0, agent_burst=10)
    beats = [encode_from_agent(Heartbeat())] * 6
    batch = agent_batch(beats).SerializeToString()
    assert agent.say(batch) == Heartbeat()
    with pytest.raises(StreamClosedError) as refused:
        agent.say(batch)
    assert code(refused) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_credit_for_several_offers_is_that_of_each() -> None:
    agent = Agent(agent_rate=0, agent_burst=100, holder_rate=0, holder_burst=100)
    said, _ = until_closed(lambda: agent.say(raw(Heartbeat())))
    agent = Agent(agent_rate=0, agent_burst=100, holder_rate=0, holder_burst=100)
    for _ in range(said):
        agent.say(raw(Heartbeat()))
    agent.intake.offered(WHO, 3)
    assert until_closed(lambda: agent.say(raw(Heartbeat())))[0] == 3 * OFFER_UNITS
