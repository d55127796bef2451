"""The conversation with a coordinator, over streams that come and go."""

from dataclasses import replace

import pytest
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link.session import Identity, Session
from colotrace_proto import codec
from colotrace_proto.messages import (
    MAX_HELD_JOBS,
    Accepted,
    Ack,
    AgentId,
    Cancel,
    Capabilities,
    ColoName,
    Counters,
    Draining,
    Failure,
    Family,
    Frame,
    FromAgent,
    Heartbeat,
    Hello,
    Job,
    JobId,
    PacketType,
    Refused,
    UnknownJob,
    Welcome,
)
from colotrace_proto.notices import Notice, NoticeCode
from unit.agent.fakes import FakeProber, job, settle

ONE = bytes([1, 1, 1, 1])
FIRST, OTHER = b"a" * 16, b"b" * 16
IDENTITY = Identity(
    agent_id=AgentId("host1.den01"),
    boot_id=bytes(range(16)),
    colo=ColoName("den01"),
    city="Denver, CO, US",
    families=frozenset({Family.IPV4}),
    packet_types=frozenset({PacketType.ICMP}),
    software_version="1.2.3",
    max_jobs=5,
)


class Stream:
    """A session with a stream up, and what it has said."""

    def __init__(self, jobs: Jobs) -> None:
        self.woken = 0
        self.identity = replace(IDENTITY)
        self.session = Session(self.identity, jobs, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def said(self) -> list[FromAgent]:
        """What the stream would carry now."""
        messages = []
        while (message := self.session.to_send()) is not None:
            messages.append(message)
        return messages

    def attach(self, *wanted: Ack, coordinator: bytes = FIRST) -> list[FromAgent]:
        """A new stream, greeted; what was said after the hello."""
        self.session.attached()
        hello, *more = self.said()
        assert isinstance(hello, Hello)
        assert more == []
        self.session.heard(Welcome(coordinator, 5_000, wanted))
        return self.said()


class AllAccepted:
    """Jobs that are accepted, and never end."""

    draining = False

    def take(self, job: Job, *_: object, **__: object) -> Accepted:
        return Accepted(job.job_id)

    def cancel(self, job_id: JobId) -> None:
        pass


@pytest.fixture
async def stream(jobs: Jobs) -> Stream:
    """An agent that has not attached yet."""
    return Stream(jobs)


async def traced(stream: Stream, prober: FakeProber) -> None:
    """A job under way, its acceptance and first frame said."""
    stream.session.heard(job(packets_per_ttl=3))
    await settle()
    prober.hear(ONE)
    accepted, frame = stream.said()
    assert accepted == Accepted(JobId("job-1"))
    assert isinstance(frame, Frame)


async def test_a_stream_begins_with_who_we_are(stream: Stream) -> None:
    """The same boot id on every stream of one process."""
    boots = set()
    for _ in range(2):
        stream.session.attached()
        (hello,) = stream.said()
        assert isinstance(hello, Hello)
        assert (hello.agent_id, hello.colo, hello.max_jobs) == ("host1.den01", "den01", 5)
        assert (hello.families, hello.held_jobs) == (IDENTITY.families, ())
        boots.add(hello.boot_id)
    assert len(boots) == 1
    assert stream.woken == 2


async def test_a_job_is_answered_and_its_frames_follow(stream: Stream, prober: FakeProber) -> None:
    """Until the last one is acknowledged it stays unsettled."""
    assert stream.attach() == []
    await traced(stream, prober)
    prober.end(ONE)
    (final,) = stream.said()
    assert isinstance(final, Frame)
    assert final.sequence == 2
    assert stream.session.unsettled == 1
    stream.session.heard(Ack(JobId("job-1"), 2))
    assert stream.session.unsettled == 0


async def test_coordinator_of_version_1_gets_frames_without_batches(
    stream: Stream, prober: FakeProber
) -> None:
    """As release 0.2 does; it ignores the columns that it does not know."""
    stream.session.attached()
    stream.said()
    stream.session.heard(Welcome(FIRST, 5_000, (), protocol_version=1))
    assert not stream.session.batches
    stream.session.heard(job(packets_per_ttl=3))
    await settle()
    prober.hear(ONE)
    frame = stream.said()[-1]
    assert isinstance(frame, Frame)
    assert (frame.replies.ordinal, frame.replies.flow) == ((0,), (0,))
    assert len(frame.flows) == 1
    assert frame.source_address


async def test_progress_is_in_nobodys_way(stream: Stream, prober: FakeProber) -> None:
    """What is awaited goes before it, and it tells of all that is known by then."""
    stream.attach()
    stream.session.heard(job(packets_per_ttl=3))
    await settle()
    prober.hear(ONE, 0)
    prober.hear(ONE, 1)
    stream.session.heard(job("job-2", "1.1.1.2"))
    *first, frame = stream.said()
    assert first == [Accepted(JobId("job-1")), Accepted(JobId("job-2"))]
    assert isinstance(frame, Frame)
    assert len(frame.replies.ttl) == 2


async def test_progress_that_was_not_told_goes_with_the_end(
    stream: Stream, prober: FakeProber
) -> None:
    """One frame has it all."""
    stream.attach()
    stream.session.heard(job(packets_per_ttl=3))
    await settle()
    prober.hear(ONE)
    prober.end(ONE)
    _, frame = stream.said()
    assert isinstance(frame, Frame)
    assert (frame.sequence, len(frame.replies.ttl)) == (1, 1)
    assert frame.outcome is not None


async def test_progress_waits_for_a_stream(stream: Stream, prober: FakeProber) -> None:
    """It comes once the coordinator has said what it has."""
    stream.attach()
    stream.session.heard(job(packets_per_ttl=3))
    await settle()
    stream.session.detached()
    prober.hear(ONE)
    prober.hear(ONE, 1)
    assert stream.said() == []
    (frame,) = stream.attach(Ack(JobId("job-1"), 0))
    assert isinstance(frame, Frame)
    assert len(frame.replies.ttl) == 2


async def test_a_job_that_is_not_taken_leaves_nothing(stream: Stream) -> None:
    """Refused with its reason, and not held."""
    stream.attach()
    stream.session.heard(job(target="10.0.0.1"))
    stream.session.heard(UnknownJob(JobId("x"), Notice(NoticeCode.UNKNOWN_PACKET_TYPE, count=9)))
    said = stream.said()
    assert [type(message) for message in said] == [Refused, Refused]
    assert stream.session.unsettled == 0


async def test_a_job_goes_on_while_the_stream_is_down(stream: Stream, prober: FakeProber) -> None:
    """What it comes to is sent when the coordinator is back, after what it has already."""
    stream.attach()
    await traced(stream, prober)
    stream.session.detached()
    prober.end(ONE)
    assert stream.said() == []
    stream.session.attached()
    (hello,) = stream.said()
    assert isinstance(hello, Hello)
    assert hello.held_jobs == (JobId("job-1"),)
    stream.session.heard(Welcome(FIRST, 5_000, (Ack(JobId("job-1"), 1),)))
    (frame,) = stream.said()
    assert isinstance(frame, Frame)
    assert frame.sequence == 2


async def test_more_jobs_than_a_hello_may_name() -> None:
    """The newest are named, and the agent is attached; the others are wanted no more."""
    stream = Stream(AllAccepted())  # type: ignore[arg-type]
    stream.attach()
    for number in range(MAX_HELD_JOBS + 3):
        stream.session.heard(job(str(number)))
    stream.session.detached()
    stream.session.attached()
    (hello,) = stream.said()
    assert isinstance(hello, Hello)
    assert codec.decode_from_agent(codec.encode_from_agent(hello)) == hello
    assert hello.held_jobs[-1] == str(MAX_HELD_JOBS + 2)
    stream.session.heard(Welcome(FIRST, 5_000, (Ack(hello.held_jobs[0], 0),)))
    assert stream.session.unsettled == 1


async def test_what_was_never_acknowledged_is_said_again(
    stream: Stream, prober: FakeProber
) -> None:
    """It may not have arrived."""
    stream.attach()
    await traced(stream, prober)
    stream.session.detached()
    frames = stream.attach(Ack(JobId("job-1"), 0))
    assert [frame.sequence for frame in frames if isinstance(frame, Frame)] == [1]
    prober.end(ONE)
    assert len(stream.said()) == 1


@pytest.mark.parametrize("wanted", [(), (Ack(JobId("job-1"), 1),)])
async def test_another_coordinator_process_knows_none_of_the_jobs(
    stream: Stream, prober: FakeProber, jobs: Jobs, wanted: tuple[Ack, ...]
) -> None:
    """They end, unsaid, whatever it claims to want."""
    stream.attach()
    await traced(stream, prober)
    stream.session.detached()
    assert stream.attach(*wanted, coordinator=OTHER) == []
    assert len(jobs) == stream.session.unsettled == len(prober.traces) == 0


async def test_a_job_that_is_no_longer_wanted_ends(
    stream: Stream, prober: FakeProber, jobs: Jobs
) -> None:
    """The same process, but its caller has gone."""
    stream.attach()
    await traced(stream, prober)
    stream.session.detached()
    assert stream.attach() == []
    assert len(jobs) == stream.session.unsettled == 0


async def test_a_cancelled_job_says_no_more(stream: Stream, prober: FakeProber, jobs: Jobs) -> None:
    """Nobody waits for its last frame."""
    stream.attach()
    await traced(stream, prober)
    stream.session.heard(Cancel(JobId("job-1")))
    assert stream.said() == []
    assert len(jobs) == stream.session.unsettled == 0


async def test_jobs_of_another_coordinator(stream: Stream, prober: FakeProber, jobs: Jobs) -> None:
    """None of this one's words end them, and of their end it is not told."""
    other = Stream(jobs)
    stream.attach()
    other.attach(coordinator=OTHER)
    await traced(stream, prober)
    other.session.heard(Cancel(JobId("job-1")))
    other.session.abandon()
    assert len(jobs) == 1
    stream.session.heard(Cancel(JobId("job-1")))
    assert stream.said() == other.said() == []
    assert len(jobs) == 0


async def test_what_was_not_sent_does_not_go_to_the_next_stream(stream: Stream) -> None:
    """An acceptance belongs to the stream that asked."""
    stream.attach()
    stream.session.heard(job())
    stream.session.detached()
    stream.session.attached()
    (hello,) = stream.said()
    assert isinstance(hello, Hello)
    assert hello.held_jobs == (JobId("job-1"),)
    stream.session.heard(Welcome(OTHER, 5_000))
    await settle()


async def test_heartbeats_tell_how_much_runs(stream: Stream, jobs: Jobs) -> None:
    """And the interval is the coordinator's to say."""
    stream.session.attached()
    stream.said()
    stream.session.heard(Welcome(FIRST, 250))
    assert stream.session.heartbeat_ms == 250
    stream.session.heartbeat()
    assert stream.said() == [Heartbeat(0, Counters(sent=7))]
    stream.session.heard(Heartbeat())
    stream.session.heard(job())
    stream.session.heartbeat()
    assert stream.said() == [Accepted(JobId("job-1")), Heartbeat(1, Counters(sent=7))]
    await settle()
    jobs.cancel_all()


async def test_draining_is_said_on_every_stream(
    stream: Stream, prober: FakeProber, jobs: Jobs
) -> None:
    """What runs is finished, and acknowledged, all the same."""
    stream.attach()
    await traced(stream, prober)
    jobs.draining = True
    stream.session.changed()
    assert stream.said() == [Draining()]
    stream.session.heard(job("job-2"))
    (refused,) = stream.said()
    assert isinstance(refused, Refused)
    stream.session.detached()
    frame, draining = stream.attach(Ack(JobId("job-1"), 0))
    assert isinstance(frame, Frame)
    assert draining == Draining()
    prober.end(ONE)
    (final,) = stream.said()
    assert isinstance(final, Frame)
    assert final.outcome is not None
    assert final.outcome.failure is Failure.NONE


async def test_changed_families_are_told_at_once(stream: Stream) -> None:
    """On the stream that is up, and by the hello of the next one."""
    assert stream.attach() == []
    stream.identity.families = frozenset(Family)
    stream.session.changed()
    assert stream.said() == [Capabilities(frozenset(Family))]
    stream.session.detached()
    stream.identity.families = frozenset()
    stream.session.changed()
    assert stream.said() == []
    stream.session.attached()
    (hello,) = stream.said()
    assert isinstance(hello, Hello)
    assert hello.families == frozenset()


async def test_families_that_change_between_hello_and_welcome_are_told(stream: Stream) -> None:
    """Nothing may be said before the welcome."""
    stream.session.attached()
    stream.said()
    stream.identity.families = frozenset({Family.IPV6})
    stream.session.changed()
    assert stream.said() == []
    stream.session.heard(Welcome(FIRST, 5_000, ()))
    assert stream.said() == [Capabilities(frozenset({Family.IPV6}))]
