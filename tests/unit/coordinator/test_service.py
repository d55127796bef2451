"""From a request to its answer, through real streams and scripted agents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
import structlog
from colotrace_coordinator.errors import StoppingError
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.model import Answer, Message, Options, TraceRequest
from colotrace_coordinator.policy import TargetPolicy
from colotrace_coordinator.service import TraceService
from colotrace_proto import rows
from colotrace_proto.codes import Code
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Capabilities,
    ColoName,
    Counters,
    Draining,
    Edge,
    Failure,
    Family,
    Frame,
    Heartbeat,
    Hello,
    Job,
    JobId,
    Outcome,
    PacketType,
    RefusalReason,
    Refused,
)
from colotrace_proto.notices import Notice, NoticeCode, sentence
from colotrace_proto.running import RunningClock
from colotrace_proto.v1 import fleet_pb2 as pb
from msgspec import UNSET
from prometheus_client import CollectorRegistry
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path
from unit.coordinator.volatile import VolatileMemory

DEN, SIN = ColoName("den01"), ColoName("sin01")


class Coordinator:
    """A service with its direct link, and the agents that a test attaches."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.numbers = CollectorRegistry()
        metrics = Metrics(self.numbers)
        log = structlog.get_logger()
        clock = RunningClock()
        registry = Registry(VolatileMemory([(SIN, "Singapore, SG")]))
        self.service = TraceService(
            registry=registry,
            names=None,
            asns=None,
            policy=TargetPolicy(),
            metrics=metrics,
            log=log,
            clock=clock,
            gather_s=0,
        )
        self.link = DirectLink(
            self.service.agent_events, host="127.0.0.1", port=0, tls=None, log=log, clock=clock
        )
        self.port = 0

    async def agent(self, name: str | Hello = "a1", *, colo: str = "den01") -> ScriptedAgent:
        who = hello(name, colo=colo) if isinstance(name, str) else name
        agent = await self.stack.enter_async_context(ScriptedAgent(self.port, who))
        await agent.attach()
        return agent

    def begin(
        self,
        *targets: str,
        colos: tuple[ColoName, ...] = (DEN,),
        account: str = "acc",
        options: Options | None = None,
        spent_s: float = 0.0,
    ) -> asyncio.Task[Answer]:
        request = TraceRequest(
            account, targets or ("8.8.8.8",), colos, options or Options(), spent_s=spent_s
        )
        return asyncio.create_task(self.service.trace(request))

    def number(self, name: str, **labels: str) -> float:
        return self.numbers.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    async with AsyncExitStack() as stack:
        coordinator = Coordinator(stack)
        coordinator.port = await coordinator.link.start()
        yield coordinator
        await coordinator.link.stop()


async def within(seconds: float, what: asyncio.Task[Answer]) -> Answer:
    async with asyncio.timeout(seconds):
        return await what


async def gone(coordinator: Coordinator, *, colo: ColoName = DEN, left: int = 0) -> None:
    """Wait until so many agents are left."""
    async with asyncio.timeout(5):
        # Nothing tells when; the timeout bounds it.
        while [c.agents for c in coordinator.service.colos() if c.name == colo] != [left]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def only(answer: Answer) -> rows.ColoRow:
    ((row,),) = [target.colos for target in answer.rows]
    return row


async def test_agents_packets_are_counted(coordinator: Coordinator) -> None:
    """An agent tells what it has counted since its start; what is new of it is added."""
    agent = await coordinator.agent()
    for counters in (Counters(sent=10, late=1), Counters(sent=15, late=1), Counters(sent=9)):
        await agent.say(Heartbeat(0, counters))
    answer = coordinator.begin()
    await agent.say(path((await agent.take()).job_id))
    await within(5, answer)
    counted = {
        kind: coordinator.number("colotrace_agent_packets_total", colo="den01", kind=kind)
        for kind in ("sent", "late", "foreign")
    }
    assert counted == {"sent": 15, "late": 1, "foreign": 0}


async def test_a_row(coordinator: Coordinator) -> None:
    """The agent's frames come out as the contract's row, with the agent's notices beside."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    assert (job.target, job.packet_type, job.max_ttl) == ("8.8.8.8", PacketType.ICMP, 15)
    first, last = path(job.job_id, failure=None), Frame(job.job_id, 2, sent=(3, 3))
    await agent.say(first)
    notice = Notice(NoticeCode.QUEUE_OVERFLOW, count=3)
    outcome = Outcome(Failure.NONE, duration_ns=5_400_000, notices=(notice,))
    await agent.say(Frame(last.job_id, 2, sent=last.sent, outcome=outcome))
    answered = await within(5, answer)
    row = only(answered)
    assert answered.rows[0].target == "8.8.8.8"
    assert row.colo == rows.Colo(city="Denver, CO, US", name="den01")
    assert (row.error, row.traceroute_time_ms) == ("", 5)
    assert [(h.packets_ttl, h.packets_sent, h.packets_lost) for h in row.hops] == [
        (1, 3, 2),
        (2, 3, 2),
    ]
    assert [h.nodes[0].ip for h in row.hops] == ["198.18.0.1", "8.8.8.8"]
    assert row.hops[0].nodes[0].asn == "*"
    assert row.hops[0].nodes[0].labels is UNSET
    assert row.target_summary.mean_rtt_ms == 4.0
    assert answered.messages == [
        Message(Code.ROW_NOTICE, f"den01: {sentence(notice)}", "/result/0/colos/0")
    ]
    assert await agent.expect(Ack) == Ack(job.job_id, 2)
    assert coordinator.number("colotrace_jobs_total", code="0") == 1
    assert coordinator.number("colotrace_jobs_running") == 0
    assert coordinator.number("colotrace_frames_total") == 2


async def test_rows_stand_in_the_order_asked(coordinator: Coordinator) -> None:
    """Targets and colos as in the request, however the agents finish; twins are traced once."""
    den, sin = await coordinator.agent(), await coordinator.agent("s1", colo="sin01")
    targets = ("9.9.9.9", "example.com", "9.9.9.9")
    answer = coordinator.begin(*targets, colos=(SIN, DEN))
    for agent in (den, sin):
        jobs = [await agent.take(), await agent.take()]
        assert {job.target for job in jobs} == {"9.9.9.9", "example.com"}
        for job in reversed(jobs):
            await agent.say(path(job.job_id))
    answered = await within(5, answer)
    assert tuple(row.target for row in answered.rows) == targets
    assert all([c.colo.name for c in row.colos] == ["sin01", "den01"] for row in answered.rows)
    assert answered.rows[0].colos == answered.rows[2].colos


async def test_no_agent(coordinator: Coordinator) -> None:
    """Code 1 at once for a colo known from before, beside another colo's good row."""
    agent = await coordinator.agent()
    answer = coordinator.begin(colos=(SIN, DEN))
    job = await agent.take()
    await agent.say(path(job.job_id))
    answered = await within(5, answer)
    sin, den = answered.rows[0].colos
    assert sin.error == "Could not gather traceroute data: Code 1"
    assert sin.colo.city == "Singapore, SG"
    assert sin.hops == []
    assert den.error == ""
    (message,) = answered.messages
    assert (message.code, message.pointer) == (Code.ROW_FAILED + 1, "/result/0/colos/0")
    assert message.message.startswith("sin01: no agent of sin01 is attached")


async def test_refused_job_moves(coordinator: Coordinator) -> None:
    """The second agent answers; nothing is said of it, since nobody has lost anything."""
    first, second = await coordinator.agent("a1"), await coordinator.agent("a2")
    answer = coordinator.begin()
    job = await first.expect(Job)
    await first.say(Refused(job.job_id, RefusalReason.DRAINING))
    moved = await second.take()
    assert moved.job_id != job.job_id
    await second.say(path(moved.job_id))
    answered = await within(5, answer)
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
    answered = await within(4, answer)
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
    answered = await within(5, answer)
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
    row = only(await within(5, answer))
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
    assert only(await within(5, answer)).error == ""


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
    assert only(await within(5, answer)).error == ""


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
    answered = await within(1.5, answer)
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
    assert only(await within(5, answer)).error == ""
    async with ScriptedAgent(coordinator.port, older.hello) as again:
        await again.say(again.hello)
        assert (await again.ended())[0] == "ALREADY_EXISTS"
    assert [c.agents for c in coordinator.service.colos() if c.name == DEN] == [1]


async def families_are(coordinator: Coordinator, *families: Family) -> None:
    """Wait until the colo's agents have said so."""
    async with asyncio.timeout(5):
        while [c.families for c in coordinator.service.colos() if c.name == DEN] != [  # noqa: ASYNC110
            frozenset(families)
        ]:
            await asyncio.sleep(0.005)


async def test_agent_without_an_address_is_attached_and_offered_nothing_until_it_has_one(
    coordinator: Coordinator,
) -> None:
    """Its colo is known, with the reason: Code 3. Families come and go without a new stream."""
    agent = await coordinator.agent(hello("a1", families=()))
    assert only(await within(5, coordinator.begin())).error.endswith("Code 3")

    await agent.say(Capabilities(frozenset({Family.IPV4})))
    await families_are(coordinator, Family.IPV4)
    answer = coordinator.begin("8.8.4.4")
    await agent.say(path((await agent.take()).job_id))
    assert only(await within(5, answer)).error == ""
    assert only(await within(5, coordinator.begin("2001:4860::1"))).error.endswith("Code 3")

    await agent.say(Capabilities(frozenset({Family.IPV6})))
    await families_are(coordinator, Family.IPV6)
    assert only(await within(5, coordinator.begin("9.9.9.9"))).error.endswith("Code 3")


async def test_draining_agent_gets_no_new_job(coordinator: Coordinator) -> None:
    """It finishes what it has; another of the colo is asked from then on."""
    first, second = await coordinator.agent("a1"), await coordinator.agent("a2")
    running = coordinator.begin("1.1.1.1")
    job = await first.take()
    await first.say(Draining())
    await first.say(path(job.job_id))
    assert only(await within(5, running)).error == ""
    answer = coordinator.begin("8.8.4.4")
    job = await second.take()
    await second.say(path(job.job_id))
    assert only(await within(5, answer)).error == ""
    assert coordinator.number("colotrace_agents", colo="den01", state="draining") == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [(Failure.UNRESOLVABLE, 3), (Failure.SEND, 4), (Failure.DEADLINE, 2)],
)
async def test_failed_traces(coordinator: Coordinator, failure: Failure, code: int) -> None:
    """The row's code, the hops there are, and the agent's words under the row's pointer."""
    agent = await coordinator.agent()
    answer = coordinator.begin("name.example")
    job = await agent.take()
    await agent.say(path(job.job_id, failure=None))
    await agent.say(
        Frame(job.job_id, 2, outcome=Outcome(failure, Notice(NoticeCode.TEXT, reason="why")))
    )
    answered = await within(5, answer)
    assert only(answered).error == f"Could not gather traceroute data: Code {code}"
    assert len(only(answered).hops) == 2
    (message,) = answered.messages
    assert (message.code, message.pointer) == (Code.ROW_FAILED + code, "/result/0/colos/0")


async def test_policy_refuses_an_address_here(coordinator: Coordinator) -> None:
    """Code 3 for each colo without asking any agent; the other target is traced."""
    agent = await coordinator.agent()
    answer = coordinator.begin("10.0.0.1", "8.8.8.8", colos=(DEN, SIN))
    job = await agent.take()
    assert job.target == "8.8.8.8"
    await agent.say(path(job.job_id))
    answered = await within(5, answer)
    assert [c.error[-6:] for c in answered.rows[0].colos] == ["Code 3", "Code 3"]
    assert answered.rows[1].colos[0].error == ""
    pointers = [m.pointer for m in answered.messages if m.code == Code.ROW_FAILED + 3]
    assert pointers == ["/result/0/colos/0", "/result/0/colos/1"]
    assert "--allow-private" in answered.messages[0].message


async def test_identical_requests_share_a_job(coordinator: Coordinator) -> None:
    """Same account and options at the same time: one trace, two answers."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(), coordinator.begin()]
    job = await agent.take()
    await agent.say(path(job.job_id))
    first, second = [await within(5, answer) for answer in answers]
    assert first == second
    assert coordinator.number("colotrace_jobs_shared_total") == 1
    assert coordinator.number("colotrace_jobs_total", code="0") == 1


@pytest.mark.parametrize(
    "other",
    [
        {"account": "other"},
        {"options": Options(flow=1)},
        {"options": Options(packet_type=PacketType.UDP)},
        {"spent_s": 5.0},
    ],
)
async def test_what_differs_is_not_shared(coordinator: Coordinator, other: dict[str, Any]) -> None:
    """Another account, flow or option is another trace; so is one that must end earlier."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(), coordinator.begin(**other)]
    jobs = [await agent.take(), await agent.take()]
    for job in jobs:
        await agent.say(path(job.job_id))
    for answer in answers:
        await within(5, answer)
    assert jobs[0].job_id != jobs[1].job_id


async def test_a_late_request_joins_one_with_less_time(coordinator: Coordinator) -> None:
    """It has its answer all the earlier."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(spent_s=5.0), coordinator.begin(spent_s=4.9), coordinator.begin()]
    job = await agent.take()
    await agent.say(path(job.job_id))
    for answer in answers:
        await within(5, answer)
    assert coordinator.number("colotrace_jobs_shared_total") == 2


async def test_what_a_request_took_to_arrive_is_off_its_jobs_time(
    coordinator: Coordinator,
) -> None:
    """The answer is due all the same."""
    agent = await coordinator.agent()
    answers = [coordinator.begin("8.8.8.8"), coordinator.begin("8.8.4.4", spent_s=6.0)]
    jobs = [await agent.take(), await agent.take()]
    assert 5_500 < jobs[0].remaining_ms - jobs[1].remaining_ms < 6_500
    assert jobs[0].remaining_ms < 25_000
    for job in jobs:
        await agent.say(path(job.job_id))
    for answer in answers:
        await within(5, answer)


async def test_each_caller_has_a_cancel_of_its_own(coordinator: Coordinator) -> None:
    """The job goes on while one is left, and is taken back when the last one leaves."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(), coordinator.begin()]
    job = await agent.take()
    await cancelled(answers[0])
    await agent.say(path(job.job_id, failure=None))
    assert await agent.expect(Ack) == Ack(job.job_id, 1)
    await cancelled(answers[1])
    assert await agent.expect(Cancel) == Cancel(job.job_id)
    assert coordinator.number("colotrace_jobs_total", code="cancelled") == 1
    assert coordinator.number("colotrace_jobs_running") == 0


async def test_cancelled_job_is_not_joined(coordinator: Coordinator) -> None:
    """Who asks the same right after gets a trace of its own."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    await agent.take()
    await cancelled(answer)
    await agent.expect(Cancel)
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(path(job.job_id))
    assert only(await within(5, answer)).error == ""


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
    nodes = [pb.Node(address=bytes(4), labels=["x" * 60] * 16) for _ in range(200)]
    await agent.say_raw(pb.AgentMessage(frame=pb.Frame(job_id=job.job_id, sequence=1, nodes=nodes)))
    row = only(await within(5, answer))
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
    row = only(await within(5, answer))
    assert [h.nodes for h in row.hops] == [[rows.SILENCE]]


async def test_agent_without_anything_in_common(coordinator: Coordinator) -> None:
    """It is not attached, and hears why."""
    async with ScriptedAgent(coordinator.port, hello(packet_types=())) as agent:
        await agent.say(agent.hello)
        assert (await agent.ended())[0] == "FAILED_PRECONDITION"


async def test_drain_lets_answers_finish(coordinator: Coordinator) -> None:
    """New requests are refused while the running ones get their answers."""
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    draining = asyncio.create_task(coordinator.service.drain())
    await asyncio.sleep(0)
    with pytest.raises(StoppingError):
        await coordinator.begin()
    assert not draining.done()
    await agent.say(path(job.job_id))
    assert only(await within(5, answer)).error == ""
    async with asyncio.timeout(5):
        await draining


async def test_many_targets_through_many_agents(coordinator: Coordinator) -> None:
    """Ten targets spread evenly over a colo's two agents, and no row mixed up."""
    agents = [await coordinator.agent("a1"), await coordinator.agent("a2")]
    targets = tuple(f"8.8.{n}.8" for n in range(10))
    answer = coordinator.begin(*targets)
    async with asyncio.TaskGroup() as tasks:
        for agent in agents:
            tasks.create_task(serve(agent, 5))
    answered = await within(5, answer)
    assert [row.target for row in answered.rows] == list(targets)
    for row in answered.rows:
        assert row.colos[0].target_summary.ip == row.target


async def serve(agent: ScriptedAgent, jobs: int) -> None:
    """Answer with the target at the first hop."""
    taken = [await agent.take() for _ in range(jobs)]
    for job in taken:
        address = bytes(int(part) for part in job.target.split("."))
        await agent.say(
            Frame(job.job_id, 1, address, (1,), outcome=Outcome(Failure.NONE, duration_ns=1))
        )


async def cancelled(task: asyncio.Task[Answer]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_multipath_row_has_links(coordinator: Coordinator) -> None:
    """As the agent found them; a row that could not be had has none, but the field."""
    agent = await coordinator.agent()
    options = Options(multipath=True)
    answer = coordinator.begin("8.8.8.8", "10.0.0.1", options=options)
    job = await agent.take()
    assert job.multipath
    done = path(job.job_id)
    links = (Edge(1, bytes((198, 18, 0, 1)), bytes((8, 8, 8, 8)), 7),)
    await agent.say(replace(done, outcome=Outcome(Failure.NONE, duration_ns=1, links=links)))
    traced, forbidden = (row.colos[0] for row in (await within(5, answer)).rows)
    assert traced.links == [rows.Link(ttl=1, near="198.18.0.1", far="8.8.8.8", flows=7)]
    assert forbidden.links == []


async def test_multipath_is_a_job_of_its_own(coordinator: Coordinator) -> None:
    """It does not join a plain one that has just begun."""
    agent = await coordinator.agent()
    answers = [coordinator.begin(options=Options(multipath=many)) for many in (False, True)]
    jobs = [await agent.take() for _ in answers]
    assert [job.multipath for job in jobs] == [False, True]
    for job in jobs:
        await agent.say(path(job.job_id))
    plain, many = [only(await within(5, answer)) for answer in answers]
    assert (plain.links, many.links) == (UNSET, [])


async def test_agents_are_asked_for_names_in_their_dns_form(coordinator: Coordinator) -> None:
    """Agents of every version resolve the same name; the answer has it as it was written."""
    agent = await coordinator.agent()
    answer = coordinator.begin("straße.example", "under_score.example")
    jobs = [await agent.take(), await agent.take()]
    assert {job.target for job in jobs} == {"xn--strae-oqa.example", "under_score.example"}
    for job in jobs:
        await agent.say(path(job.job_id))
    result = await answer
    assert [row.target for row in result.rows] == ["straße.example", "under_score.example"]
