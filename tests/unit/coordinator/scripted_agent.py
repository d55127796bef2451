"""An agent that does what a test tells it, over a real stream."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import Self, TypeVar

from colotrace_proto import codec
from colotrace_proto.locations import Location
from colotrace_proto.messages import (
    Accepted,
    AgentId,
    ColoName,
    Family,
    Frame,
    FromAgent,
    FromCoordinator,
    Hello,
    Job,
    JobId,
    Node,
    NodeKind,
    Outcome,
    PacketType,
    Replies,
    Welcome,
)
from colotrace_proto.messages import Failure as Failure
from colotrace_proto.tags import Tag
from colotrace_proto.v1 import fleet_pb2 as pb
from colotrace_proto.v1.fleet_pb2_grpc import FleetStub
from grpc import aio

M = TypeVar("M")

ROUTER = bytes((198, 18, 0, 1))
TARGET = bytes((8, 8, 8, 8))


def hello(
    agent_id: str = "a1",
    *,
    colo: str = "den01",
    boot: bytes | None = None,
    city: str = "Denver, CO, US",
    held_jobs: Sequence[JobId] = (),
    protocol_version: int = 1,
    packet_types: Iterable[PacketType] = (PacketType.ICMP, PacketType.UDP),
    families: Iterable[Family] = (Family.IPV4,),
    tags: Iterable[Tag] = (),
    location: Location | None = None,
) -> Hello:
    return Hello(
        agent_id=AgentId(agent_id),
        boot_id=boot if boot is not None else os.urandom(16),
        colo=ColoName(colo),
        city=city,
        families=frozenset(families),
        packet_types=frozenset(packet_types),
        software_version="0",
        max_jobs=100,
        held_jobs=tuple(held_jobs),
        protocol_version=protocol_version,
        tags=frozenset(tags),
        location=location,
    )


def path(job_id: JobId, sequence: int = 1, *, failure: Failure | None = Failure.NONE) -> Frame:
    """A frame of a router at 1 and the target at 2, each answering once after 2 and 4 ms."""
    return Frame(
        job_id,
        sequence,
        TARGET,
        (1, 1),
        Replies(
            (1, 2), (2_000_000, 4_000_000), (0, 1), (Node(ROUTER), Node(TARGET, NodeKind.TARGET))
        ),
        Outcome(failure, duration_ns=5_000_000) if failure is not None else None,
    )


class ScriptedAgent:
    """One stream of one agent. Used as `async with`; leaving it drops the stream."""

    def __init__(
        self, port: int, who: Hello | None = None, *, channel: aio.Channel | None = None
    ) -> None:
        self.hello = who if who is not None else hello()
        self._channel = channel or aio.insecure_channel(f"127.0.0.1:{port}")
        self._call = FleetStub(self._channel).Attach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.drop()

    async def attach(self) -> Welcome:
        """Say Hello and wait to be welcome."""
        await self.say(self.hello)
        return await self.expect(Welcome)

    async def say(self, *messages: FromAgent) -> None:
        for message in messages:
            await self._call.write(codec.encode_from_agent(message))

    async def say_raw(self, message: pb.AgentMessage) -> None:
        await self._call.write(message)

    async def next(self) -> FromCoordinator | None:
        """The coordinator's next message; None when it has ended the stream."""
        message = await self._call.read()
        if message is aio.EOF:
            return None
        return codec.decode_from_coordinator(message)

    async def expect(self, kind: type[M]) -> M:
        """The next message of this kind; what comes before is passed over."""
        while True:
            message = await self.next()
            if isinstance(message, kind):
                return message
            assert message is not None, f"{await self._call.code()}: {await self._call.details()}"

    async def take(self) -> Job:
        """Accept the next job."""
        job = await self.expect(Job)
        await self.say(Accepted(job.job_id))
        return job

    async def ended(self) -> tuple[str, str]:
        """Wait for the coordinator to end the stream: status and words."""
        code = await self._call.code()
        return code.name, await self._call.details() or ""

    async def done(self) -> None:
        """Say that nothing more will be said."""
        await self._call.done_writing()

    async def drop(self) -> None:
        """Cut the connection, as a crash would."""
        self._call.cancel()
        await self._channel.close()


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        await condition.wait()
