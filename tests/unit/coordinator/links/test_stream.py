"""A stream's own bounds, without a transport."""

import asyncio
from collections.abc import Iterator, Sequence

import grpc
import pytest
from colotrace_coordinator.links.direct import stream as stream_module
from colotrace_coordinator.links.direct.stream import MAX_QUEUED, AgentStream
from colotrace_coordinator.turns import Turns
from colotrace_proto.messages import (
    Ack,
    Cancel,
    FromAgent,
    FromCoordinator,
    Heartbeat,
    JobId,
    Welcome,
)
from colotrace_proto.running import RunningClock
from eventually import until

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
        read=read, write=write, heartbeat_s=5.0, clock=RunningClock(), turns=Turns(), batches=True
    )
    for _ in range(MAX_QUEUED + 1):
        stream.send(Heartbeat())
    end = await stream.run(WELCOME, heard=lambda _: None, ended=lambda: ended.append(True))
    assert end.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert written == [WELCOME]
    assert ended == [True]


@pytest.mark.parametrize("batches", [True, False])
async def test_acknowledgements_travel_with_the_next_message(batches: bool) -> None:
    """Only the last one of each job. An agent without batches gets them later, one by one."""
    written: list[Sequence[FromCoordinator]] = []

    async def write(messages: Sequence[FromCoordinator]) -> None:
        written.append(messages)

    async def read() -> Iterator[FromAgent]:
        await asyncio.Event().wait()
        return iter(())

    stream = AgentStream(
        read=read,
        write=write,
        heartbeat_s=60.0,
        clock=RunningClock(),
        turns=Turns(),
        batches=batches,
    )
    run = asyncio.create_task(
        stream.run(WELCOME, heard=lambda _: None, ended=lambda: None), name="stream"
    )
    await until(lambda: len(written) == 1)
    for sequence in (1, 2):
        stream.ack(Ack(JobId("a"), sequence))
    stream.ack(Ack(JobId("b"), 1))
    cancel, acks = Cancel(JobId("c")), [Ack(JobId("a"), 2), Ack(JobId("b"), 1)]
    stream.send(cancel)
    expected = [[cancel, *acks]] if batches else [[cancel], [acks[0]], [acks[1]]]
    await until(lambda: len(written) == 1 + len(expected))
    assert [list(messages) for messages in written[1:]] == expected
    stream.end(grpc.StatusCode.OK, "")
    await run


async def test_stream_whose_transport_takes_nothing_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until it takes the message; what waits is counted."""
    monkeypatch.setattr(stream_module, "BLOCKED_S", 0.01)
    taken, never = asyncio.Event(), asyncio.Event()

    async def write(messages: Sequence[FromCoordinator]) -> None:
        await taken.wait()

    async def read() -> Iterator[FromAgent]:
        await never.wait()
        return iter(())

    stream = AgentStream(
        read=read, write=write, heartbeat_s=5.0, clock=RunningClock(), turns=Turns(), batches=True
    )
    running = asyncio.create_task(
        stream.run(WELCOME, heard=lambda _: None, ended=lambda: None), name="stream"
    )
    stream.send(Heartbeat())
    await until(lambda: stream.blocked)
    assert stream.waiting == 1
    taken.set()
    await until(lambda: not stream.blocked)
    assert stream.waiting == 0
    stream.end(grpc.StatusCode.OK, "")
    await running


async def test_acknowledgements_are_sent_before_the_stream_ends() -> None:
    """Otherwise the agent would keep the job until it is known that nobody waits for it."""
    written: list[FromCoordinator] = []
    welcomed, never = asyncio.Event(), asyncio.Event()
    ack = Ack(JobId("job"), 1)

    async def write(messages: Sequence[FromCoordinator]) -> None:
        written.extend(messages)
        welcomed.set()

    async def read() -> Iterator[FromAgent]:
        await welcomed.wait()
        stream.ack(ack)
        stream.end(grpc.StatusCode.UNAVAILABLE, "the coordinator is stopping")
        await never.wait()
        return iter(())

    stream = AgentStream(
        read=read, write=write, heartbeat_s=5.0, clock=RunningClock(), turns=Turns(), batches=True
    )
    await stream.run(WELCOME, heard=lambda _: None, ended=lambda: None)
    assert written == [WELCOME, ack]
