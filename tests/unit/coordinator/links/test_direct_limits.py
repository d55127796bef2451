"""Messages and streams that the server refuses, and its limits."""

from contextlib import suppress

import grpc
import pytest
from colotrace_coordinator.links.direct import server as server_module
from colotrace_coordinator.links.direct.intake import Intake
from colotrace_coordinator.links.direct.options import OPTIONS
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_proto.messages import (
    Cancel,
    Heartbeat,
)
from colotrace_proto.running import RunningClock
from colotrace_proto.v1 import fleet_pb2 as pb
from grpc import aio
from unit.coordinator.links.recording import J1, RecordingFleet, make
from unit.coordinator.scripted_agent import ScriptedAgent, hello, path


async def test_first_message_must_be_hello(link: DirectLink) -> None:
    """Anything else: the stream ends before anything is believed."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.say(Heartbeat())
        assert await agent.ended() == ("FAILED_PRECONDITION", "the first message is not Hello")


async def test_missing_hello_ends_the_stream(fleet: RecordingFleet) -> None:
    """A stream that says nothing does not stay."""
    link = make(fleet, hello_s=0.05)
    async with ScriptedAgent(await link.start()) as agent:
        assert await agent.ended() == ("DEADLINE_EXCEEDED", "no Hello within 0.05 s")
    await link.stop()


async def test_second_hello_ends_the_stream(fleet: RecordingFleet, link: DirectLink) -> None:
    """Who somebody is does not change on a stream."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await agent.say(agent.hello)
        assert await agent.ended() == ("INVALID_ARGUMENT", "a second Hello")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (pb.AgentMessage(hello=pb.Hello(agent_id="a b", boot_id=b"b" * 16)), "Hello.agent_id"),
        (pb.AgentMessage(hello=pb.Hello(agent_id="a", colo="den01")), "Hello.boot_id"),
        (pb.AgentMessage(hello=pb.Hello(agent_id="a", colo="Mile High")), "Hello.colo"),
    ],
)
async def test_invalid_hello_ends_the_stream(
    link: DirectLink, message: pb.AgentMessage, words: str
) -> None:
    """What breaks the protocol's bounds ends the stream, and the words name the field."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.say_raw(message)
        status, detail = await agent.ended()
        assert status == "INVALID_ARGUMENT"
        assert words in detail


async def test_invalid_message_ends_the_stream(fleet: RecordingFleet, link: DirectLink) -> None:
    """The same for an attached agent; the fleet hears that it is gone."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await agent.say_raw(pb.AgentMessage(frame=pb.Frame(job_id="j1")))
        assert await agent.ended() == ("INVALID_ARGUMENT", "Frame.sequence counts from 1")
        assert [(await fleet.next())[0] for _ in range(2)] == ["attached", "detached"]


async def test_bytes_that_are_no_message(fleet: RecordingFleet, link: DirectLink) -> None:
    """Bytes that protobuf cannot read end that stream, and no other."""
    port = await link.start()
    async with ScriptedAgent(port) as agent, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await agent.attach()
        call = channel.stream_stream("/colotrace_proto.v1.Fleet/Attach")()
        await call.write(b"\xff\xff\xff")
        assert await call.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)
        await agent.say(Heartbeat())
        assert [(await fleet.next())[0] for _ in range(2)] == ["attached", "heard"]


async def test_oversized_message(fleet: RecordingFleet, link: DirectLink) -> None:
    """More than 1 MiB is not even taken in."""
    async with ScriptedAgent(await link.start()) as agent:
        await agent.attach()
        await agent.say_raw(pb.AgentMessage(refused=pb.Refused(detail="x" * (1 << 20))))
        assert (await agent.ended())[0] == "RESOURCE_EXHAUSTED"
        assert [(await fleet.next())[0] for _ in range(2)] == ["attached", "detached"]


async def test_streams_of_one_address_have_a_share(
    fleet: RecordingFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends makes room."""
    monkeypatch.setattr(server_module, "MAX_STREAMS_OF_ONE", 1)
    link = make(fleet)
    port = await link.start()
    async with ScriptedAgent(port, hello("a2")) as second:
        async with ScriptedAgent(port, hello("a1")) as first:
            await first.attach()
            await second.say(second.hello)
            assert (await second.ended())[0] == "RESOURCE_EXHAUSTED"
            await fleet.next()
        assert (await fleet.next())[0] == "detached"
        async with ScriptedAgent(port, hello("a3")) as third:
            await third.attach()
    await link.stop()


async def test_agent_that_exceeds_its_limit_is_rejected(
    fleet: RecordingFleet,
) -> None:
    """With a reason, and it is not let in again at once; another agent is."""
    clock = RunningClock()
    link = make(fleet, intake=Intake(clock=clock.now, agent_rate=0.001, agent_burst=50))
    fleet.due = None
    port = await link.start()
    async with ScriptedAgent(port) as agent, ScriptedAgent(port, hello("a2")) as other:
        await agent.attach()
        for _ in range(50):  # the last is one too many; a later one would hide the status
            await agent.say(path(J1))
        with suppress(aio.AioRpcError):  # the status comes behind what is unread
            while await agent.next() == Cancel(J1):
                pass
        assert (await agent.ended())[0] == "RESOURCE_EXHAUSTED"
        async with ScriptedAgent(port, hello(agent.hello.agent_id)) as again:
            await again.say(again.hello)
            assert (await again.ended())[0] == "RESOURCE_EXHAUSTED"
        await other.attach()
    await link.stop()
    clock.close()


async def test_connection_without_a_stream_has_timeouts() -> None:
    """So that nobody collects them: neither without TLS nor without a word of HTTP/2."""
    options = dict(OPTIONS)
    assert options["grpc.server_handshake_timeout_ms"] <= 10_000
    assert options["grpc.max_connection_idle_ms"] <= 30_000
