"""From a request to its answer, through real streams and scripted agents."""

import asyncio

import pytest
from colotrace_coordinator.errors import StoppingError
from colotrace_coordinator.model import Message
from colotrace_proto import rows
from colotrace_proto.codes import Code
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    Ack,
    Capabilities,
    Counters,
    Draining,
    Edge,
    Failure,
    Family,
    Frame,
    Heartbeat,
    Outcome,
    PacketType,
)
from colotrace_proto.notices import Notice, NoticeCode, sentence
from eventually import until
from integration.coordinator.service.traced import DEN, SIN, Coordinator, only, soon
from msgspec import UNSET
from msgspec.structs import replace
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path


async def test_agents_packets_are_counted(coordinator: Coordinator) -> None:
    """An agent tells what it has counted since its start; what is new of it is added."""
    agent = await coordinator.agent()
    for counters in (Counters(sent=10, late=1), Counters(sent=15, late=1), Counters(sent=9)):
        await agent.say(Heartbeat(0, counters))
    answer = coordinator.begin()
    await agent.say(path((await agent.take()).job_id))
    await soon(answer)
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
    answered = await soon(answer)
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
    answered = await soon(answer)
    assert tuple(row.target for row in answered.rows) == targets
    assert all([c.colo.name for c in row.colos] == ["sin01", "den01"] for row in answered.rows)
    assert answered.rows[0].colos == answered.rows[2].colos


async def test_no_agent(coordinator: Coordinator) -> None:
    """Code 1 at once for a colo known from before, beside another colo's good row."""
    agent = await coordinator.agent()
    answer = coordinator.begin(colos=(SIN, DEN))
    job = await agent.take()
    await agent.say(path(job.job_id))
    answered = await soon(answer)
    sin, den = answered.rows[0].colos
    assert sin.error == "Could not gather traceroute data: Code 1"
    assert sin.colo.city == "Singapore, SG"
    assert sin.hops == []
    assert den.error == ""
    (message,) = answered.messages
    assert (message.code, message.pointer) == (Code.ROW_FAILED + 1, "/result/0/colos/0")
    assert message.message.startswith("sin01: no agent of sin01 is attached")


async def families_are(coordinator: Coordinator, *families: Family) -> None:
    """Wait until the colo's agents have said so."""
    colos, wanted = coordinator.service.colos, [frozenset(families)]
    await until(lambda: [each.families for each in colos() if each.name == DEN] == wanted)


async def test_agent_without_an_address_is_attached_and_offered_nothing_until_it_has_one(
    coordinator: Coordinator,
) -> None:
    """Its colo is known, with the reason: Code 3. Families come and go without a new stream."""
    agent = await coordinator.agent(hello("a1", families=()))
    assert only(await soon(coordinator.begin())).error.endswith("Code 3")

    await agent.say(Capabilities(frozenset({Family.IPV4})))
    await families_are(coordinator, Family.IPV4)
    answer = coordinator.begin("8.8.4.4")
    await agent.say(path((await agent.take()).job_id))
    assert only(await soon(answer)).error == ""
    assert only(await soon(coordinator.begin("2001:4860::1"))).error.endswith("Code 3")

    await agent.say(Capabilities(frozenset({Family.IPV6})))
    await families_are(coordinator, Family.IPV6)
    assert only(await soon(coordinator.begin("9.9.9.9"))).error.endswith("Code 3")


async def test_draining_agent_gets_no_new_job(coordinator: Coordinator) -> None:
    """It finishes what it has; another of the colo is asked from then on."""
    first, second = await coordinator.agent("a1"), await coordinator.agent("a2")
    running = coordinator.begin("1.1.1.1")
    job = await first.take()
    await first.say(Draining())
    await first.say(path(job.job_id))
    assert only(await soon(running)).error == ""
    answer = coordinator.begin("8.8.4.4")
    job = await second.take()
    await second.say(path(job.job_id))
    assert only(await soon(answer)).error == ""
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
    answered = await soon(answer)
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
    answered = await soon(answer)
    assert [c.error[-6:] for c in answered.rows[0].colos] == ["Code 3", "Code 3"]
    assert answered.rows[1].colos[0].error == ""
    pointers = [m.pointer for m in answered.messages if m.code == Code.ROW_FAILED + 3]
    assert pointers == ["/result/0/colos/0", "/result/0/colos/1"]
    assert "--allow-private" in answered.messages[0].message


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
    assert only(await soon(answer)).error == ""
    async with asyncio.timeout(20):
        await draining


async def test_many_targets_through_many_agents(coordinator: Coordinator) -> None:
    """Ten targets spread evenly over a colo's two agents, and no row mixed up."""
    agents = [await coordinator.agent("a1"), await coordinator.agent("a2")]
    targets = tuple(f"8.8.{n}.8" for n in range(10))
    answer = coordinator.begin(*targets)
    async with asyncio.TaskGroup() as tasks:
        for agent in agents:
            tasks.create_task(serve(agent, 5))
    answered = await soon(answer)
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
    traced, forbidden = (row.colos[0] for row in (await soon(answer)).rows)
    assert traced.links == [rows.Link(ttl=1, near="198.18.0.1", far="8.8.8.8", flows=7)]
    assert forbidden.links == []


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
