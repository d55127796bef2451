"""Agents that refuse, are lost or return during a request."""

from colotrace_coordinator.model import Message
from colotrace_proto import rows
from colotrace_proto.codes import Code
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Failure,
    Frame,
    Job,
    JobId,
    Outcome,
    RefusalReason,
    Refused,
)
from colotrace_proto.v1 import fleet_pb2 as pb
from integration.coordinator.service.traced import DEN, Coordinator, gone, only, soon
from msgspec.structs import replace
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path


async def test_refused_job_moves(coordinator: Coordinator) -> None:
    """The second agent answers; nothing is said of it, since nobody has lost anything."""
    first, second = await coordinator.agent("a1"), await coordinator.agent("a2")
    answer = coordinator.begin()
    job = await first.expect(Job)
    await first.say(Refused(job.job_id, RefusalReason.DRAINING))
    moved = await second.take()
    assert moved.job_id != job.job_id
    await second.say(path(moved.job_id))
    answered = await soon(answer)
    assert only(answered).error == ""
    assert answered.messages == []
    assert coordinator.number("colotrace_jobs_moved_total") == 1


async def test_lost_agent_and_no_other(coordinator: Coordinator) -> None:
    """Code 2 with the hops so far, soon after the grace, and whose fault it was."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(path(job.job_id, failure=None))
    await agent.expect(Ack)
    await agent.drop()
    answered = await soon(answer)
    row = only(answered)
    assert row.error == "Could not gather traceroute data: Code 2"
    assert [h.nodes[0].ip for h in row.hops] == ["198.18.0.1", "8.8.8.8"]
    assert answered.messages == [
        Message(Code.ROW_FAILED + 2, "den01: agent a1 was lost while tracing", "/result/0/colos/0")
    ]


async def test_lost_agents_job_goes_to_another(coordinator: Coordinator) -> None:
    """As a fresh trace; the answer is whole, and says what happened."""
    first, second = await coordinator.agent("a1"), await coordinator.agent("a2")
    answer = coordinator.begin()
    job = await first.take()
    await first.say(path(job.job_id, failure=None))
    await first.expect(Ack)
    await first.drop()
    moved = await second.take()
    await second.say(path(moved.job_id))
    answered = await soon(answer)
    assert only(answered).error == ""
    assert only(answered).hops[0].packets_sent == 1
    assert answered.messages == [
        Message(Code.ROW_MOVED, "den01: agent a1 was lost while tracing", "/result/0/colos/0")
    ]


async def test_agent_back_within_the_grace(coordinator: Coordinator) -> None:
    """It is told which frame was the last, sends the rest, and nothing is counted twice."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(path(job.job_id, failure=None))
    await agent.expect(Ack)
    await agent.drop()
    await gone(coordinator)
    held = (job.job_id, JobId("unknown"))
    again = ScriptedAgent(coordinator.port, hello("a1", boot=agent.hello.boot_id, held_jobs=held))
    await coordinator.stack.enter_async_context(again)
    assert (await again.attach()).wanted_jobs == (Ack(job.job_id, 1),)
    await again.say(path(job.job_id, 1, failure=None))
    await again.say(Frame(job.job_id, 2, outcome=Outcome(Failure.NONE)))
    row = only(await soon(answer))
    assert row.error == ""
    assert [h.nodes[0].packet_count for h in row.hops] == [1, 1]


async def test_half_dead_stream_is_replaced(coordinator: Coordinator) -> None:
    """The agent comes back while its old stream still seems to be up."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    again = await coordinator.agent(hello("a1", boot=agent.hello.boot_id, held_jobs=(job.job_id,)))
    assert (await agent.ended())[0] == "ABORTED"
    await again.say(path(job.job_id))
    assert only(await soon(answer)).error == ""


async def test_frames_missing(coordinator: Coordinator) -> None:
    """A gap ends the stream with words; the agent resumes, and the answer is whole."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(path(job.job_id, 2))
    status, words = await agent.ended()
    assert status == "INVALID_ARGUMENT"
    assert "frame 2 came, not 1" in words
    again = await coordinator.agent(hello("a1", boot=agent.hello.boot_id, held_jobs=(job.job_id,)))
    await again.say(path(job.job_id, 1, failure=None))
    await again.say(Frame(job.job_id, 2, outcome=Outcome(Failure.NONE)))
    assert only(await soon(answer)).error == ""


async def test_restarted_agent_gets_the_job_again(coordinator: Coordinator) -> None:
    """At once, without waiting for the grace."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    await agent.drop()
    again = await coordinator.agent("a1")
    fresh = await again.take()
    assert fresh.job_id != job.job_id
    await again.say(path(fresh.job_id))
    answered = await soon(answer)
    assert [m.message for m in answered.messages] == ["den01: agent a1 restarted while tracing"]


async def test_two_processes_of_one_id(coordinator: Coordinator) -> None:
    """The newer one stays and has the jobs; the older is told why, and cannot come back."""
    older = await coordinator.agent("a1")
    answer = coordinator.begin()
    await older.take()
    newer = await coordinator.agent("a1")
    status, words = await older.ended()
    assert status == "ALREADY_EXISTS"
    assert "another process has attached as a1 of den01" in words
    job = await newer.take()
    await newer.say(path(job.job_id))
    assert only(await soon(answer)).error == ""
    async with ScriptedAgent(coordinator.port, older.hello) as again:
        await again.say(again.hello)
        assert (await again.ended())[0] == "ALREADY_EXISTS"
    assert [c.agents for c in coordinator.service.colos() if c.name == DEN] == [1]


async def test_frames_that_nobody_wants(coordinator: Coordinator) -> None:
    """The job is taken back, so that the agent forgets it; the frames are not decoded."""
    agent = await coordinator.agent()
    unknown = JobId("unknown")
    await agent.say(Accepted(unknown))
    assert await agent.next() == Cancel(unknown)
    await agent.say(path(unknown, 1, failure=None))
    assert await agent.next() == Cancel(unknown)
    await agent.say(path(unknown, 2))
    assert await agent.next() == Cancel(unknown)


async def test_agent_that_sends_more_than_its_job_can_yield(coordinator: Coordinator) -> None:
    """The frame is not decoded, the job is given up, and the stream closed."""
    agent = await coordinator.agent()
    answer = coordinator.begin(options=Options(max_ttl=1, packets_per_ttl=1))
    job = await agent.take()
    nodes = [pb.Node(address=bytes(4), labels=["x" * 60] * 16).SerializeToString()] * 200
    await agent.say_raw(pb.AgentMessage(frame=pb.Frame(job_id=job.job_id, sequence=1, nodes=nodes)))
    row = only(await soon(answer))
    assert row.error.endswith("Code 2")
    await gone(coordinator)


async def test_agent_cannot_speak_for_another(coordinator: Coordinator) -> None:
    """Frames for a job that another agent has do not reach its row."""
    agent = await coordinator.agent("a1")
    stranger = await coordinator.agent("s1", colo="sin01")
    answer = coordinator.begin()
    job = await agent.take()
    await stranger.say(Accepted(job.job_id), path(job.job_id))
    await stranger.say(Refused(job.job_id, RefusalReason.POLICY))
    assert await stranger.next() == Cancel(job.job_id)
    assert await stranger.next() == Cancel(job.job_id)
    await agent.say(Frame(job.job_id, 1, sent=(1,), outcome=Outcome(Failure.NONE)))
    row = only(await soon(answer))
    assert [h.nodes for h in row.hops] == [[rows.SILENCE]]


async def test_agent_that_attaches_takes_jobs_that_wait_for_room(coordinator: Coordinator) -> None:
    """They do not wait until the first agent has ended one of its own."""
    first, second = [replace(hello(name), max_jobs=2) for name in ("a1", "a2")]
    agent = await coordinator.agent(first)
    answer = coordinator.begin("8.8.8.8", "8.8.4.4", "9.9.9.9")
    jobs = [await agent.take() for _ in range(2)]
    other = await coordinator.agent(second)
    jobs.append(await soon(other.take()))
    for each, who in zip(jobs, (agent, agent, other), strict=True):
        await who.say(path(each.job_id))
    assert len((await soon(answer)).rows) == 3
