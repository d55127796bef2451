"""A stream's own bounds, without a transport."""

import asyncio

import grpc
from colotrace_coordinator.links.direct.stream import MAX_QUEUED, AgentStream
from colotrace_proto.messages import FromAgent, FromCoordinator, Heartbeat, Welcome

WELCOME = Welcome(b"c" * 16, 5000)


async def test_agent_that_does_not_read_is_cut_off() -> None:
    """The queue is bounded, and what waits beyond ends the stream."""
    written: list[FromCoordinator] = []
    never = asyncio.Event()

    async def write(message: FromCoordinator) -> None:
        written.append(message)
        await never.wait()

    async def read() -> FromAgent | None:
        await never.wait()
        return None

    stream = AgentStream(read=read, write=write, heartbeat_s=5.0)
    for _ in range(MAX_QUEUED + 1):
        stream.send(Heartbeat())
    end = await stream.run(WELCOME, lambda _: None)
    assert end.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert written == [WELCOME]
