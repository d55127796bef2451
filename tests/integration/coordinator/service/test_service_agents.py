"""What the list of agents says of each: through real streams and scripted agents."""

import pytest
from colotrace_coordinator.model import AgentStatus
from colotrace_proto.messages import (
    Ack,
    Draining,
    Failure,
    Frame,
    Job,
    Outcome,
    PacketType,
    RefusalReason,
    Refused,
)
from colotrace_proto.notices import Notice, NoticeCode
from colotrace_proto.tags import Tag
from eventually import until
from integration.coordinator.service.traced import Coordinator, cancelled, gone, soon
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path


async def listed(coordinator: Coordinator) -> list[AgentStatus]:
    return [status async for status in coordinator.service.agents()]


async def trouble(coordinator: Coordinator) -> str:
    """The words of the only agent's last trouble; "" if there was none."""
    (status,) = await listed(coordinator)
    return status.last_trouble.words if status.last_trouble else ""


async def refusing(coordinator: Coordinator, agent: ScriptedAgent, refusal: RefusalReason) -> None:
    answer = coordinator.begin()
    job = await agent.expect(Job)
    told = Notice(NoticeCode.NOT_PUBLIC, addresses=(bytes([8, 8, 8, 8]),))
    await agent.say(Refused(job.job_id, refusal, told))
    if refusal is RefusalReason.BUSY:
        await agent.expect(Job)  # it is asked again
        await cancelled(answer)
    else:
        await soon(answer)


async def test_agents_are_listed_by_colo_and_id(coordinator: Coordinator) -> None:
    await coordinator.agent("b")
    await coordinator.agent(hello("a", tags=[Tag("provider", "x")]))
    await coordinator.agent("z", colo="abc01")
    statuses = await listed(coordinator)
    assert [(s.colo, s.id) for s in statuses] == [("abc01", "z"), ("den01", "a"), ("den01", "b")]
    assert statuses[1].tags == {Tag("provider", "x")}
    assert statuses[1].packet_types == {PacketType.ICMP, PacketType.UDP}
    assert all(status.last_trouble is None for status in statuses)
    since = [status.attached_since for status in statuses]
    assert since[2] <= since[1] <= since[0]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (RefusalReason.BUSY, "it refused a job, since it was busy"),
        (
            RefusalReason.NO_SOCKET,
            "it refused a job, since it could not send probes; look at its log",
        ),
        (RefusalReason.UNSPECIFIED, "it refused a job"),
        (RefusalReason.POLICY, ""),
        (RefusalReason.DRAINING, ""),
    ],
)
async def test_refusal_for_a_reason_of_the_agent_is_a_trouble(
    coordinator: Coordinator, refusal: RefusalReason, words: str
) -> None:
    """All accounts see it: it says nothing of the target."""
    agent = await coordinator.agent()
    await refusing(coordinator, agent, refusal)
    assert await trouble(coordinator) == words


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure.SEND, "it could not send the probes of a job"),
        (Failure.INTERNAL, "it had a fault of its own while tracing; look at its log"),
        (Failure.UNRESOLVABLE, ""),
        (Failure.NONE, ""),
    ],
)
async def test_failed_job_is_a_trouble_if_the_agent_is_at_fault(
    coordinator: Coordinator, failure: Failure, words: str
) -> None:
    agent = await coordinator.agent()
    answer = coordinator.begin("secret.example")
    job = await agent.take()
    cause = Notice(NoticeCode.TEXT, reason="secret.example is at fault")
    await agent.say(Frame(job.job_id, 1, outcome=Outcome(failure, cause)))
    await soon(answer)
    assert await trouble(coordinator) == words


async def test_agent_that_breaks_the_protocol(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(Frame(job.job_id, 1, sent=(1,) * 64))
    await soon(answer)
    words = "it is at fault: it tells of probes that the job does not have"
    assert await trouble(coordinator) == words


async def test_broken_stream_is_told_once_the_agent_is_back(coordinator: Coordinator) -> None:
    """Also of an earlier process, since the agent has one id."""
    agent = await coordinator.agent()
    await agent.drop()
    await gone(coordinator)
    assert await listed(coordinator) == []
    await coordinator.agent()
    assert await trouble(coordinator) == "its stream ended: the connection broke"


async def test_refused_hello_is_told_once_the_agent_is_attached(coordinator: Coordinator) -> None:
    async with ScriptedAgent(coordinator.port, hello(packet_types=())) as unfit:
        await unfit.say(unfit.hello)
        assert (await unfit.ended())[0] == "FAILED_PRECONDITION"
    await coordinator.agent()
    words = "a process with its id could not attach: no packet type in common"
    assert await trouble(coordinator) == words


async def test_agent_that_stops_has_no_trouble(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    await agent.say(Draining())
    colos = coordinator.service.colos
    await until(lambda: any(colo.state == "draining" for colo in colos()))
    await agent.drop()
    await gone(coordinator)
    await coordinator.agent()
    assert await trouble(coordinator) == ""


async def test_lost_job_is_a_trouble(coordinator: Coordinator) -> None:
    agent = await coordinator.agent()
    answer = coordinator.begin()
    job = await agent.take()
    await agent.say(path(job.job_id, failure=None))
    await agent.expect(Ack)
    await agent.drop()
    await soon(answer)
    await coordinator.agent()
    assert await trouble(coordinator) == "it was lost while tracing"


async def test_second_process_with_an_agents_id_is_its_trouble(coordinator: Coordinator) -> None:
    """Each takes the id over, until that is refused."""
    for _ in range(4):
        await coordinator.agent("a1")
    async with ScriptedAgent(coordinator.port, hello("a1")) as again:
        await again.say(again.hello)
        assert (await again.ended())[0] == "ALREADY_EXISTS"
    words = await trouble(coordinator)
    assert words.startswith(
        "a process with its id could not attach: several processes attach as a1"
    )
