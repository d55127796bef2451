"""The stream to a coordinator that welcomes, breaks off and comes back, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from colotrace_agent.jobs import Jobs
from colotrace_agent.link import direct
from colotrace_agent.link.direct import DirectLink, Tls
from colotrace_proto import codec
from colotrace_proto.messages import Ack, FromAgent, FromCoordinator, JobId, Welcome
from colotrace_proto.v1 import fleet_pb2_grpc
from unit.agent.fakes import job
from unit.agent.link.test_session import FIRST, IDENTITY


class Stream:
    """One stream, as the scripted coordinator holds it."""

    def __init__(self, context: grpc.aio.ServicerContext) -> None:  # type: ignore[type-arg]
        self.context = context

    async def hear(self) -> FromAgent | None:
        """The agent's next message."""
        return codec.decode_from_agent(await self.context.read())

    async def say(self, message: FromCoordinator) -> None:
        """A message down."""
        await self.context.write(codec.encode_from_coordinator(message))

    async def welcome(self, *wanted: Ack) -> None:
        """Take the Hello and answer it."""
        await self.hear()
        await self.say(Welcome(FIRST, 5_000, wanted))

    async def abort(self, code: grpc.StatusCode) -> None:
        """End the stream."""
        await self.context.abort(code, "so the test says")


Script = Callable[[Stream], Awaitable[None]]


class Scripted(fleet_pb2_grpc.FleetServicer):
    """Does for each stream what the script says."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def Attach(self, _requests, context):  # type: ignore[no-untyped-def]  # noqa: N802
        await self._script(Stream(context))


@asynccontextmanager
async def coordinator(script: Script) -> AsyncIterator[str]:
    """Where it listens."""
    server = grpc.aio.server()
    fleet_pb2_grpc.add_FleetServicer_to_server(Scripted(script), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def running(link: DirectLink) -> AsyncIterator[None]:
    """The link at work; still so in the end."""
    task = asyncio.create_task(link.run(), name="link")
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Log:
    """Keeps why the agent was not attached."""

    def __init__(self) -> None:
        self.reasons: asyncio.Queue[str] = asyncio.Queue()

    def warning(self, event: str, **facts: str) -> None:
        self.reasons.put_nowait(f"{event}: {facts['reason']}")

    def info(self, event: str, **facts: str) -> None:
        pass

    async def next(self) -> str:
        """The next time."""
        async with asyncio.timeout(5):
            return await self.reasons.get()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What the link logs."""
    kept = Log()
    monkeypatch.setattr(direct, "_log", kept)
    return kept


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back at once, since nobody else waits for this coordinator."""
    monkeypatch.setattr(direct, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(direct, "_LONGEST_PAUSE_S", 0.001)


async def chatter(link: DirectLink) -> None:
    """So much is said that something is always on its way."""
    while True:
        link._session.heartbeat()
        link._session.heartbeat()
        await asyncio.sleep(0.0002)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ALREADY_EXISTS])
async def test_streams_that_end_while_it_speaks(
    jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode
) -> None:
    """Neither the agent ends with them nor its jobs, and each time it has heard why."""
    monkeypatch.setattr(direct, "_REFUSED_PAUSE_S", 0.001)

    async def script(stream: Stream) -> None:
        await stream.welcome(Ack(JobId("job-1"), 0))
        if not len(jobs):
            await stream.say(job())
        await asyncio.sleep(0.02)
        await stream.abort(code)

    async with coordinator(script) as where:
        link = DirectLink(where, IDENTITY, jobs, tls=None)
        talking = asyncio.create_task(chatter(link), name="chatter")
        async with running(link):
            for _ in range(50):
                assert await log.next() == f"not attached: {code.name}: so the test says"
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    assert len(jobs) == 1
    jobs.cancel_all()


async def test_a_refusal_right_after_hello(jobs: Jobs, log: Log) -> None:
    """It is not asked for again every other moment."""

    async def script(stream: Stream) -> None:
        await stream.hear()
        await stream.abort(grpc.StatusCode.ALREADY_EXISTS)

    async with (
        coordinator(script) as where,
        running(DirectLink(where, IDENTITY, jobs, tls=None)),
    ):
        assert await log.next() == "not attached: ALREADY_EXISTS: so the test says"
        await asyncio.sleep(0.1)
        assert log.reasons.empty()


async def test_certificates_that_are_gone_for_a_while(jobs: Jobs, log: Log, tmp_path: Path) -> None:
    """While they are renewed, say; the agent tells, and goes on trying."""
    missing = tmp_path / "agent.pem"
    link = DirectLink("127.0.0.1:1", IDENTITY, jobs, tls=Tls(missing, missing, missing))
    async with running(link):
        for _ in range(3):
            assert str(missing) in await log.next()
