"""Agents' streams over real gRPC on the loopback."""

from contextlib import suppress

import pytest
import structlog
from colotrace_coordinator.errors import ListenError
from colotrace_coordinator.fleet.link import (
    Admitted,
    Closing,
    Rejected,
    Rejection,
)
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.turns import Turns
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Draining,
    Heartbeat,
    JobId,
    Refused,
    Welcome,
)
from colotrace_proto.notices import Notice, NoticeCode
from colotrace_proto.running import RunningClock
from colotrace_proto.v1 import fleet_pb2 as pb
from grpc import aio
from unit.coordinator.links.recording import J1, JOB, RecordingFleet, key, make
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path


async def test_welcome(fleet: RecordingFleet, link: DirectLink) -> None:
    """Says who the coordinator is, how often to beat, and what is still wanted."""
    fleet.verdict = Admitted((Ack(J1, 4),))
    async with ScriptedAgent(await link.start()) as agent:
        welcome = await agent.attach()
        assert welcome.heartbeat_ms == 5000
        assert welcome.wanted_jobs == (Ack(J1, 4),)
        assert len(welcome.coordinator_id) == 16
        assert await fleet.next() == ("attached", key(agent), agent.hello)


async def test_each_start_has_an_id_of_its_own(fleet: RecordingFleet) -> None:
    """By which agents tell a restarted coordinator."""
    ids = set()
    for _ in range(2):
        link = make(fleet)
        async with ScriptedAgent(await link.start()) as agent:
            ids.add((await agent.attach()).coordinator_id)
        await link.stop()
    assert len(ids) == 2


async def test_messages_are_passed_both_ways(fleet: RecordingFleet, link: DirectLink) -> None:
    """Offer and cancel down; accept, refusal, frame, heartbeat, draining up, in order."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await fleet.next()
        link.offer(key(agent), JOB, shared=False)
        link.cancel(key(agent), J1)
        assert await agent.next() == JOB
        assert await agent.next() == Cancel(J1)
        said = (
            Accepted(J1),
            Refused(J1, 2, Notice(NoticeCode.JOBS_FULL, count=9)),  # type: ignore[arg-type]
            path(J1),
            Heartbeat(3),
            Draining(),
        )
        await agent.say(*said)
        assert [(await fleet.next())[2] for _ in said] == list(said)


async def test_offer_made_while_attaching_comes_after_the_welcome(
    fleet: RecordingFleet, link: DirectLink
) -> None:
    """A job that waited for an agent may be offered at once."""
    fleet.on_attach = [JOB]
    async with ScriptedAgent(await link.start()) as agent:
        await agent.say(agent.hello)
        assert isinstance(await agent.next(), Welcome)
        assert await agent.next() == JOB


async def test_acks_are_coalesced(fleet: RecordingFleet, link: DirectLink) -> None:
    """One for each job for frames that came close together."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await fleet.next()
        for sequence in (1, 2, 3):
            link.ack(key(agent), Ack(J1, sequence))
            link.ack(key(agent), Ack(JobId("j2"), sequence))
        link.ack(key(agent), Ack(J1, 4))
        assert await agent.next() == Ack(J1, 4)
        assert await agent.next() == Ack(JobId("j2"), 3)
        link.ack(key(agent), Ack(JobId("j2"), 4))
        assert await agent.next() == Ack(JobId("j2"), 4)


async def test_detached_when_the_agent_goes(fleet: RecordingFleet, link: DirectLink) -> None:
    """Cut off or closed, the fleet hears of it; commands for it are dropped."""
    port = await link.start()
    for cut in (True, False):
        agent = ScriptedAgent(port)
        await agent.attach()
        await fleet.next()
        if cut:
            await agent.drop()
        else:
            await agent.done()
            assert await agent.ended() == ("OK", "")
            await agent.drop()
        assert (await fleet.next())[:2] == ("detached", key(agent))
        assert fleet.why == ""
        link.offer(key(agent), JOB, shared=False)
        link.cancel(key(agent), J1)
        link.ack(key(agent), Ack(J1, 1))
        link.close(key(agent), Closing.RESYNC, "")


async def test_same_process_on_a_new_stream(fleet: RecordingFleet, link: DirectLink) -> None:
    """The old stream ends, and the fleet never hears that the agent was away."""
    port = await link.start()
    async with ScriptedAgent(port) as old, ScriptedAgent(port, old.hello) as new:
        await old.attach()
        await new.attach()
        assert await old.ended() == ("ABORTED", "the same process has attached again")
        link.offer(key(old), JOB, shared=False)
        assert await new.next() == JOB
        await new.say(Heartbeat())
        events = [(await fleet.next())[0] for _ in range(3)]
        assert events == ["attached", "attached", "heard"]


@pytest.mark.parametrize(
    ("closing", "status"),
    [(Closing.SUPERSEDED, "ALREADY_EXISTS"), (Closing.RESYNC, "INVALID_ARGUMENT")],
)
async def test_close_ends_the_stream_with_its_status(
    fleet: RecordingFleet, link: DirectLink, closing: Closing, status: str
) -> None:
    """With the status that tells the agent what to do next, and the words."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await fleet.next()
        link.close(key(agent), closing, "because")
        assert await agent.ended() == (status, "because")
        assert (await fleet.next())[0] == "detached"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Rejection.SUPERSEDED, "ALREADY_EXISTS"),
        (Rejection.FULL, "RESOURCE_EXHAUSTED"),
        (Rejection.UNFIT, "FAILED_PRECONDITION"),
    ],
)
async def test_rejection_ends_the_stream_with_its_status(
    fleet: RecordingFleet, link: DirectLink, reason: Rejection, status: str
) -> None:
    """The agent hears why, and was never attached."""
    fleet.verdict = Rejected(reason, "because")
    async with ScriptedAgent(await link.start()) as agent:
        await agent.say(agent.hello)
        assert await agent.ended() == (status, "because")
    await link.stop()
    assert [(await fleet.next())[0]] == ["attached"]
    assert fleet.events.empty()


async def test_rejected_stream_does_not_end_the_attached_one(
    fleet: RecordingFleet, link: DirectLink
) -> None:
    """A stream in the name of an attached process that is not admitted changes nothing."""
    port = await link.start()
    async with ScriptedAgent(port) as agent, ScriptedAgent(port, agent.hello) as twin:
        await agent.attach()
        fleet.verdict = Rejected(Rejection.UNFIT, "no")
        await twin.say(twin.hello)
        await twin.ended()
        link.offer(key(agent), JOB, shared=False)
        assert await agent.next() == JOB


async def test_newer_agent(fleet: RecordingFleet, link: DirectLink) -> None:
    """It is spoken to in this version; messages unknown here are passed over."""
    async with ScriptedAgent(await link.start(), hello(protocol_version=7)) as agent:
        assert (await agent.attach()).protocol_version == 2
        await agent.say_raw(pb.AgentMessage.FromString(b"\xa2\x06\x03abc"))
        await agent.say(Heartbeat())
        assert [(await fleet.next())[0] for _ in range(2)] == ["attached", "heard"]


async def test_silence_ends_the_stream(fleet: RecordingFleet) -> None:
    """Three intervals without a word; meanwhile the coordinator beats."""
    link = make(fleet, heartbeat_s=0.1)
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await agent.expect(Heartbeat)
        await agent.expect(Heartbeat)
        with suppress(aio.AioRpcError):  # the status comes behind what is unread
            while await agent.next() == Heartbeat():
                pass
        assert await agent.ended() == ("UNAVAILABLE", "nothing came for 0.3 s")
        assert [(await fleet.next())[0] for _ in range(2)] == ["attached", "detached"]
        assert fleet.why == "nothing came for 0.3 s"
    await link.stop()


async def test_agent_that_sends_heartbeats_stays(fleet: RecordingFleet) -> None:
    """Any word within three intervals keeps the stream."""
    link = make(fleet, heartbeat_s=0.2)
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        for _ in range(5):
            await agent.expect(Heartbeat)
            await agent.say(Heartbeat())
        assert [(await fleet.next())[0] for _ in range(6)] == ["attached"] + ["heard"] * 5
    await link.stop()


async def test_stop_sends_agents_elsewhere(fleet: RecordingFleet, link: DirectLink) -> None:
    """UNAVAILABLE, on which agents try again soon."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await link.stop()
        assert await agent.ended() == ("UNAVAILABLE", "the coordinator is stopping")


async def test_port_in_use(fleet: RecordingFleet, link: DirectLink) -> None:
    """A second coordinator on the port is told, instead of sharing the agents."""
    port = await link.start()
    second = DirectLink(
        fleet,
        host="127.0.0.1",
        port=port,
        tls=None,
        log=structlog.get_logger(),
        clock=RunningClock(),
        turns=Turns(),
    )
    with pytest.raises(ListenError, match=f"cannot listen for agents on 127.0.0.1:{port}"):
        await second.start()
