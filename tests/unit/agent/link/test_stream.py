"""The stream to a coordinator that welcomes, breaks off and comes back, over real gRPC."""

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from colotrace_agent.host.resolve import UnresolvableError
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link import backoff
from colotrace_agent.link import stream as stream_module
from colotrace_agent.link.session import Identity
from colotrace_agent.link.stream import Stream
from colotrace_agent.link.tls import Tls
from colotrace_proto.messages import Accepted, Ack, Cancel, Family, Heartbeat, JobId
from colotrace_proto.notices import Notice, NoticeCode
from colotrace_proto.running import RunningClock
from eventually import until
from fleet.authority import Authority
from unit.agent.fakes import job
from unit.agent.link.conftest import Log
from unit.agent.link.scripted_coordinator import Call, coordinator
from unit.agent.link.test_session import IDENTITY


@asynccontextmanager
async def running(link: Stream) -> AsyncIterator[None]:
    """The link at work; still so in the end."""
    task = asyncio.create_task(link.run(), name="link")
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back at once, since nobody else waits for this coordinator."""
    for pause in ("MIN_PAUSE_S", "MAX_PAUSE_S", "MAX_SLOW_PAUSE_S", "SPREAD_S"):
        monkeypatch.setattr(backoff, pause, 0.001)


async def chatter(link: Stream, identity: Identity) -> None:
    """The agent reports changed families so often that a message is always on its way."""
    while True:
        for families in (frozenset(Family), frozenset({Family.IPV4})):
            identity.families = families
            link.changed()
        await asyncio.sleep(0.0002)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ALREADY_EXISTS])
async def test_streams_that_end_while_it_speaks(
    jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode
) -> None:
    """Neither the agent ends with them nor its jobs, and each time it has heard why."""
    monkeypatch.setattr(backoff, "REFUSED_PAUSE_S", 0.001)

    async def script(stream: Call) -> None:
        await stream.welcome(Ack(JobId("job-1"), 0))
        if not len(jobs):
            await stream.say(job())
        for _ in range(20):
            await stream.hear()
        await stream.abort(code)

    identity = replace(IDENTITY)
    async with coordinator(script) as where:
        link = Stream(where, identity, jobs, tls=None, clock=RunningClock())
        talking = asyncio.create_task(chatter(link, identity), name="chatter")
        async with running(link):
            for _ in range(50):
                assert await log.next() == f"not attached: {code.name}: so the test says"
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    assert len(jobs) == 1
    jobs.cancel_all()


async def test_a_refusal_right_after_hello(
    jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause before the next attempt is that after a refusal, not the short one."""
    monkeypatch.setattr(backoff, "REFUSED_PAUSE_S", 0.4)

    async def script(stream: Call) -> None:
        await stream.hear()
        await stream.abort(grpc.StatusCode.ALREADY_EXISTS)

    async with (
        coordinator(script) as where,
        running(Stream(where, IDENTITY, jobs, tls=None, clock=RunningClock())),
    ):
        assert await log.next() == "not attached: ALREADY_EXISTS: so the test says"
        began = time.monotonic()
        assert await log.next() == "not attached: ALREADY_EXISTS: so the test says"
        assert time.monotonic() - began > 0.19  # half of it at least


async def test_heartbeats_are_frequent_only_while_jobs_run(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more follows the last job, for the counters; then the coordinator's interval counts."""
    monkeypatch.setattr(stream_module, "BUSY_HEARTBEAT_S", 0.005)
    heard: list[object] = []
    done = asyncio.Event()

    async def script(stream: Call) -> None:
        await stream.welcome()  # with an interval of 5 s
        for job_id in ("job-1", "job-2"):
            await stream.say(job(job_id))
            heard.append(await stream.hear())
            heard.extend([await stream.hear() for _ in range(5)])
            await stream.say(Cancel(JobId(job_id)))
            while (last := await stream.hear()) == heard[-1]:
                pass
            heard.append(last)
        done.set()
        await asyncio.Event().wait()

    async with coordinator(script) as where:
        link = Stream(where, IDENTITY, jobs, tls=None, clock=RunningClock())
        async with running(link), asyncio.timeout(30):
            await done.wait()
    expected: list[object] = []
    for job_id in ("job-1", "job-2"):
        busy, idle = (Heartbeat(running, jobs.counters()) for running in (1, 0))
        expected += [Accepted(JobId(job_id)), *[busy] * 5, idle]
    assert heard == expected


async def test_certificates_that_are_gone_for_a_while(jobs: Jobs, log: Log, tmp_path: Path) -> None:
    """While they are renewed, say; the agent tells, and goes on trying."""
    missing = tmp_path / "agent.pem"
    link = Stream(
        "127.0.0.1:1",
        IDENTITY,
        jobs,
        tls=Tls(certificate=missing, key=missing, authority=missing),
        clock=RunningClock(),
    )
    async with running(link):
        for _ in range(3):
            assert str(missing) in await log.next()


ROUTES = {
    "one.example": ["127.0.0.1"],
    # Nobody is at the first ones; the last is of another family than they are.
    "three.example": ["::1", "2001:db8::1", "127.0.0.1"],
    "other.example": ["127.0.0.1"],
}


class Addresses:
    """A resolver that knows these names."""

    async def addresses(self, name: str) -> list[bytes]:
        if name not in ROUTES:
            raise UnresolvableError(Notice(NoticeCode.NO_SUCH_NAME, name=name))
        return [ipaddress.ip_address(text).packed for text in ROUTES[name]]


@pytest.mark.parametrize("name", ["one.example", "three.example"])
async def test_it_is_reached_by_the_addresses_that_the_host_knows(jobs: Jobs, name: str) -> None:
    """At whichever of them it is."""
    attached = asyncio.Event()

    async def script(stream: Call) -> None:
        await stream.welcome()
        attached.set()
        await stream.hear()

    async with coordinator(script) as address:
        where = f"{name}:{address.rpartition(':')[2]}"
        link = Stream(
            where, IDENTITY, jobs, tls=None, clock=RunningClock(),
            resolver=Addresses(),  # type: ignore[arg-type]
        )  # fmt: skip
        async with running(link), asyncio.timeout(20):
            await attached.wait()


@pytest.mark.parametrize(("name", "attaches"), [("one.example", True), ("other.example", False)])
async def test_its_certificate_is_for_its_name(
    jobs: Jobs, log: Log, tmp_path: Path, name: str, attaches: bool
) -> None:
    """Whatever address the name has: not for another name at the same address."""
    authority = Authority(tmp_path)
    own, ours = authority.issue("one.example", also="one.example"), authority.issue("agent")
    attached = asyncio.Event()

    async def script(stream: Call) -> None:
        await stream.welcome()
        attached.set()
        await stream.hear()

    server = grpc.ssl_server_credentials([(own.key.read_bytes(), own.certificate.read_bytes())])
    async with coordinator(script, server) as address:
        where = f"{name}:{address.rpartition(':')[2]}"
        link = Stream(
            where, IDENTITY, jobs, clock=RunningClock(),
            tls=Tls(certificate=ours.certificate, key=ours.key, authority=authority.path),
            resolver=Addresses(),  # type: ignore[arg-type]
        )  # fmt: skip
        async with running(link), asyncio.timeout(20):
            if attaches:
                await attached.wait()
            else:
                await log.reasons.get()
    assert attached.is_set() is attaches


async def test_a_name_that_does_not_resolve_is_said_and_asked_for_again(
    jobs: Jobs, log: Log
) -> None:
    """It may do so the next time."""
    link = Stream(
        "none.example:1", IDENTITY, jobs, tls=None, clock=RunningClock(),
        resolver=Addresses(),  # type: ignore[arg-type]
    )  # fmt: skip
    async with running(link):
        assert "none.example does not resolve" in await log.next()
        assert "none.example does not resolve" in await log.next()


async def test_abandoned_stream_is_settled(jobs: Jobs) -> None:
    """Its coordinator is gone: nothing is waited for that it would have to acknowledge."""

    async def script(stream: Call) -> None:
        await stream.welcome()
        await stream.say(job())
        while await stream.hear() is not None:
            pass

    async with coordinator(script) as where:
        link = Stream(where, IDENTITY, jobs, tls=None, clock=RunningClock())
        async with running(link):
            await until(lambda: len(jobs) == 1)
            settled = asyncio.create_task(link.settled())
            await asyncio.sleep(0)
            assert not settled.done()
            link.abandon()
            async with asyncio.timeout(20):
                await settled
    assert len(jobs) == 0
