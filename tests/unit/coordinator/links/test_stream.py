"""A stream's own bounds, without a transport."""

import asyncio
from collections.abc import Iterator, Sequence

import grpc
import pytest
from colotrace_coordinator.links.direct import stream as stream_module
from colotrace_coordinator.links.direct.stream import MAX_QUEUED, AgentStream
from colotrace_proto.messages import FromAgent, FromCoordinator, Heartbeat, Welcome
from colotrace_proto.running import RunningClock

WELCOME = Welcome(b"c" * 16, 5000)


async def test_stream_of_an_agent_that_does_not_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded, and what waits beyond ends the stream."""
    monkeypatch.setattr(stream_module, "LAST_WRITE_S", 0.01)
    written: list[FromCoordinator] = []
    never = asyncio.Event()
    ended: list[bool] = []

    async def write(messages: Sequence[FromCoordinator]) -> None:
        written.extend(messages)
        await never.wait()

    async def read() -> Iterator[FromAgent]:
        await never.wait()
        return iter(())

    stream = AgentStream(
        read=read, write=write, heartbeat_s=5.0, clock=RunningClock(), batches=True
    )
    for _ in range(MAX_QUEUED + 1):
        stream.send(Heartbeat())
    end = await stream.run(WELCOME, heard=lambda _: None, ended=lambda: ended.append(True))
    assert end.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert written == [WELCOME]
    assert ended == [True]
