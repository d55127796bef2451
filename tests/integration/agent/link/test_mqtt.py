"""An agent with a real broker, and its streams to scripted coordinators."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import psutil
import pytest
from aiomqtt import Client
from colotrace_agent.commands.run import drain
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link import mqtt, stream, streams, waiting
from colotrace_agent.link.mqtt import MqttLink
from colotrace_proto import bus
from colotrace_proto.bus import Process, broker_of
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Draining,
    Frame,
    FromAgent,
    Hello,
    Job,
    JobId,
    Presence,
    RefusalReason,
    Refused,
    Welcome,
)
from colotrace_proto.mqtt import connection
from colotrace_proto.published import decode_presence, encode_presence, encode_published
from colotrace_proto.running import RunningClock
from fleet import Broker
from unit.agent.fakes import FakeProber, job
from unit.agent.link.scripted_coordinator import COORDINATOR, Call, coordinator
from unit.agent.link.test_session import IDENTITY, ONE

PROCESS = Process(IDENTITY.colo, IDENTITY.agent_id, IDENTITY.boot_id)


async def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Poll until the condition holds; the test's timeout bounds it."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Watch:
    """Watches the retained presences of the agent's id, and publishes messages."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.kept: dict[Process, Presence] = {}
        self.wills = 0

    async def read(self) -> None:
        async for message in self.client.messages:
            process = bus.process_of(message.topic.value)
            assert process is not None
            assert isinstance(message.payload, bytes)
            with suppress(ProtocolError):
                if message.payload:
                    self.kept[process] = decode_presence(message.payload)
                else:
                    self.wills += 1
                    self.kept.pop(process, None)

    async def publish(self, message: Job | Cancel, topic: str = PROCESS.jobs) -> None:
        await self.client.publish(topic, encode_published(message), qos=1)

    async def there(self, *, draining: bool = False, within_s: float = 5.0) -> None:
        """Wait until the agent is present."""
        await until(
            lambda: PROCESS in self.kept and self.kept[PROCESS].draining == draining,
            within_s=within_s,
        )

    async def gone(self, *, within_s: float = 5.0) -> None:
        """Wait until the agent is absent."""
        await until(lambda: PROCESS not in self.kept, within_s=within_s)


@asynccontextmanager
async def watching(broker: Broker) -> AsyncIterator[Watch]:
    async with connection(
        broker_of(broker.url), tls=None, identifier="watch", clock=RunningClock()
    ) as client:
        await client.subscribe(bus.ALL_AGENTS, qos=0)
        watch = Watch(client)
        task = asyncio.create_task(watch.read())
        try:
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def running(broker: Broker, jobs: Jobs) -> AsyncIterator[MqttLink]:
    """A running agent, which must still run at the end."""
    link = MqttLink(
        broker_of(broker.url), IDENTITY, jobs, broker_tls=None, tls=None, clock=RunningClock()
    )
    task = asyncio.create_task(link.run(), name="link")
    try:
        yield link
        assert not task.done(), task.result()
    finally:
        jobs.cancel_all()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Asker:
    """A coordinator that accepts all agents, acknowledges frames, and records messages."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[FromAgent] = asyncio.Queue()
        self.calls: list[Call] = []
        self.welcoming = asyncio.Event()
        self.welcoming.set()

    async def script(self, call: Call) -> None:
        hello = await call.hear()
        assert hello is not None
        self.heard.put_nowait(hello)
        self.calls.append(call)
        await self.welcoming.wait()
        held = hello.held_jobs if isinstance(hello, Hello) else ()
        await call.say(Welcome(COORDINATOR, 5_000, tuple(Ack(each, 0) for each in held)))
        while (message := await call.hear()) is not None:
            self.heard.put_nowait(message)
            if isinstance(message, Frame):
                await call.say(Ack(message.job_id, message.sequence))

    async def next(self) -> FromAgent:
        """The next message that is not a heartbeat."""
        async with asyncio.timeout(5):
            return await self.heard.get()


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Asker, str]]:
    asker = Asker()
    async with coordinator(asker.script) as where:
        yield asker, where


async def test_presence(broker: Broker, jobs: Jobs) -> None:
    """It is published with the agent's capabilities, and deleted by the agent when it stops."""
    async with watching(broker) as watch:
        async with running(broker, jobs):
            await watch.there()
            presence = watch.kept[PROCESS]
            assert presence.hello == IDENTITY.hello()
            assert abs(presence.started_ms - time.time() * 1e3) < 10_000
        await watch.gone()


async def test_job_is_answered_to_its_coordinator(
    broker: Broker, jobs: Jobs, prober: FakeProber
) -> None:
    """By a stream that the first job opens and later jobs share."""
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs):
        await watch.there()
        await watch.publish(job(reply_to=where), bus.jobs(IDENTITY.colo))
        assert await asker.next() == IDENTITY.hello()
        assert await asker.next() == Accepted(JobId("job-1"))
        await watch.publish(job("job-2", "1.1.1.2", reply_to=where))
        assert await asker.next() == Accepted(JobId("job-2"))
        prober.end(ONE)
        frame = await asker.next()
        assert isinstance(frame, Frame)
        assert frame.outcome is not None
        assert len(asker.calls) == 1


async def test_two_coordinators(
    broker: Broker, jobs: Jobs, prober: FakeProber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets replies of its own jobs only; if one stops, only its jobs are dropped."""
    monkeypatch.setattr(streams, "DOWN_S", 0.5)
    async with watching(broker) as watch, asking() as (one, here), running(broker, jobs):
        await watch.there()
        async with asking() as (two, there):
            await watch.publish(job("job-1", "1.1.1.1", reply_to=here))
            await watch.publish(job("job-2", "1.1.1.2", reply_to=there))
            for asker, name in ((one, "job-1"), (two, "job-2")):
                assert isinstance(await asker.next(), Hello)
                assert await asker.next() == Accepted(JobId(name))
            assert len(jobs) == 2
        # Down for longer than the agent waits, so its job is dropped.
        await until(lambda: len(jobs) == 1)
        prober.end(ONE)
        while not isinstance(frame := await one.next(), Frame):
            pass
        assert frame.job_id == "job-1"


async def test_job_delivered_twice_runs_once(broker: Broker, jobs: Jobs) -> None:
    """On any topic, and also after a refusal."""
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs):
        await watch.there()
        for name, target in (("job-1", "1.1.1.1"), ("job-2", "10.0.0.1")):
            for topic in (PROCESS.jobs, bus.jobs(IDENTITY.colo), PROCESS.jobs):
                await watch.publish(job(name, target, reply_to=where), topic)
        await watch.publish(job("job-3", "1.1.1.3", reply_to=where))
        assert isinstance(await asker.next(), Hello)
        assert await asker.next() == Accepted(JobId("job-1"))
        refused = await asker.next()
        assert isinstance(refused, Refused)
        assert refused.reason is RefusalReason.POLICY
        assert await asker.next() == Accepted(JobId("job-3"))


async def heard_so_far(watch: Watch) -> None:
    """Until the agent has handled what was published before: it handles messages in order."""
    async with asking() as (asker, where):
        await watch.publish(job("marker", "1.1.1.99", reply_to=where))
        while await asker.next() != Accepted(JobId("marker")):
            pass
        await watch.publish(Cancel(JobId("marker")), bus.cancels(IDENTITY.colo))


async def test_cancels(broker: Broker, jobs: Jobs) -> None:
    """Of a running job, of a job that waits for its stream, and of a job that has not yet
    arrived."""
    cancels = bus.cancels(IDENTITY.colo)
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs):
        await watch.there()
        asker.welcoming.clear()
        await watch.publish(Cancel(JobId("job-1")), cancels)
        await watch.publish(job("job-1", reply_to=where))
        await watch.publish(job("job-2", "1.1.1.2", reply_to=where))
        await watch.publish(job("job-3", "1.1.1.3", reply_to=where))
        assert isinstance(await asker.next(), Hello)
        await watch.publish(Cancel(JobId("job-2")), cancels)
        await heard_so_far(watch)
        asker.welcoming.set()
        assert await asker.next() == Accepted(JobId("job-3"))
        await until(lambda: len(jobs) == 1)
        await watch.publish(Cancel(JobId("job-3")), cancels)
        await until(lambda: not len(jobs))


async def test_job_with_a_late_stream_does_not_run(
    broker: Broker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its coordinator has moved it to another agent by then."""
    monkeypatch.setattr(waiting, "EXPIRY_S", 0.5)
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs):
        await watch.there()
        asker.welcoming.clear()
        await watch.publish(job("job-1", reply_to=where))
        assert isinstance(await asker.next(), Hello)
        await asyncio.sleep(0.6)  # job-1 is too late then
        await watch.publish(job("job-2", "1.1.1.2", reply_to=where))
        await heard_so_far(watch)
        asker.welcoming.set()
        assert await asker.next() == Accepted(JobId("job-2"))
        await until(lambda: len(jobs) == 1)


async def test_unused_streams_are_closed(
    broker: Broker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that cannot be opened is abandoned, and an idle one is closed."""
    monkeypatch.setattr(streams, "DOWN_S", 0.3)
    monkeypatch.setattr(streams, "IDLE_S", 0.5)
    monkeypatch.setattr(streams, "CHECK_S", 0.05)
    async with watching(broker) as watch, asking() as (asker, where):
        async with running(broker, jobs):
            await watch.there()
            await watch.publish(job(reply_to="127.0.0.1:1"))
            await until(lambda: streams_to() == {"127.0.0.1:1"})
            await until(lambda: streams_to() == set())
            await watch.publish(job("job-2", "10.0.0.1", reply_to=where))
            await until(lambda: streams_to() == {where})
            await until(lambda: streams_to() == set())
            # A job that runs keeps it, while one that came later and is idle is given up.
            await watch.publish(job("job-3", reply_to=where))
            await until(lambda: len(jobs) == 1)
            async with asking() as (_, other):
                await watch.publish(job("job-4", "10.0.0.1", reply_to=other))
                await until(lambda: streams_to() == {where, other})
                await until(lambda: streams_to() == {where})
        assert len(asker.calls) == 2


def streams_to() -> set[str]:
    """Where this process has streams to, by the names of their tasks."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    return {name.removeprefix("stream to ") for name in names if name.startswith("stream to ")}


async def test_too_many_coordinators(
    broker: Broker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier ones are still answered."""
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs):
        await watch.there()
        await watch.publish(job("job-1", "1.1.1.1", reply_to=where))
        assert isinstance(await asker.next(), Hello)
        await watch.publish(job("job-2", "1.1.1.2", reply_to="127.0.0.1:1"))
        await watch.publish(job("job-3", "1.1.1.3", reply_to=where))
        assert await asker.next() == Accepted(JobId("job-1"))
        assert await asker.next() == Accepted(JobId("job-3"))
        assert streams_to() == {where}


async def test_invalid_messages(
    broker: Broker, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    """On every topic: they are logged once, and valid messages still work."""
    topics = (PROCESS.jobs, bus.jobs(IDENTITY.colo), bus.cancels(IDENTITY.colo), PROCESS.presence)
    misplaced = replace(PROCESS, boot_id=bytes(16))
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs):
        await watch.there()
        for topic in topics:
            for payload in (b"\xff\xff", bytes(17_000), bytes(200_000), b"\x0a\x00", b"\x08\x01"):
                await watch.client.publish(topic, payload, qos=1)
        await watch.publish(job("job-1"))  # no reply_to
        await watch.publish(job("job-2", reply_to=where), bus.cancels(IDENTITY.colo))
        await watch.publish(Cancel(JobId("job-3")))
        other = encode_presence(Presence(IDENTITY.hello(), 2**60))
        await watch.client.publish(misplaced.presence, other, qos=1, retain=True)
        await watch.publish(job("job-3", "1.1.1.3", reply_to=where))
        assert isinstance(await asker.next(), Hello)
        assert await asker.next() == Accepted(JobId("job-3"))
        await watch.there()
    assert capsys.readouterr().out.count("invalid messages at the broker") == 1


async def test_retained_message_on_a_job_topic_is_ignored(broker: Broker, jobs: Jobs) -> None:
    """No client should retain a job."""
    async with watching(broker) as watch, asking() as (asker, where):
        for topic in (PROCESS.jobs, bus.jobs(IDENTITY.colo)):
            said = encode_published(job(f"old-{len(topic)}", reply_to=where))
            await watch.client.publish(topic, said, qos=1, retain=True)
        async with running(broker, jobs):
            await watch.there()
            await watch.publish(job("job-1", reply_to=where))
            assert isinstance(await asker.next(), Hello)
            assert await asker.next() == Accepted(JobId("job-1"))


async def test_deleted_presence_is_renewed(broker: Broker, jobs: Jobs) -> None:
    """For example after a late will of an earlier connection."""
    async with watching(broker) as watch, running(broker, jobs):
        await watch.there()
        for payload in (b"", b"rubbish"):
            await watch.client.publish(PROCESS.presence, payload, qos=1, retain=True)
            watch.kept.clear()
            await watch.there(within_s=2)


async def test_later_process_gets_the_id(
    broker: Broker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier one withdraws, and returns when the later one has stopped."""
    monkeypatch.setattr(mqtt, "SUPERSEDED_PAUSE_S", 0.2)
    later = replace(PROCESS, boot_id=b"L" * 16)
    hello = replace(IDENTITY.hello(), boot_id=later.boot_id)
    presence = Presence(hello, time.time_ns() // 1_000_000 + 60_000)
    async with watching(broker) as watch, running(broker, jobs):
        await watch.there()
        said = encode_presence(presence)
        await watch.client.publish(later.presence, said, qos=1, retain=True)
        await watch.gone()
        looked = connections(broker)
        await until(lambda: connections(broker) >= looked + 2)
        assert set(watch.kept) == {later}
        await watch.client.publish(later.presence, b"", qos=1, retain=True)
        await watch.there()


def connections(broker: Broker) -> int:
    """How often clients have connected so far."""
    return broker.log.read_text().count("New client connected")


async def test_earlier_process_does_not_get_the_id(broker: Broker, jobs: Jobs) -> None:
    """The earlier process will withdraw."""
    earlier = replace(PROCESS, boot_id=b"E" * 16)
    hello = replace(IDENTITY.hello(), boot_id=earlier.boot_id)
    async with watching(broker) as watch, running(broker, jobs):
        said = encode_presence(Presence(hello, 1))
        await watch.client.publish(earlier.presence, said, qos=1, retain=True)
        await watch.there()
        await heard_so_far(watch)
        await watch.there()
        assert watch.wills == 0


async def test_draining(broker: Broker, jobs: Jobs, prober: FakeProber) -> None:
    """Announced by presence and stream; running jobs finish, new jobs are refused."""
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs) as link:
        await watch.there()
        await watch.publish(job("job-1", reply_to=where))
        assert isinstance(await asker.next(), Hello)
        assert await asker.next() == Accepted(JobId("job-1"))
        drained = asyncio.create_task(drain(jobs, link, within_s=10))
        await watch.there(draining=True)
        assert await asker.next() == Draining()
        await watch.publish(job("job-2", "1.1.1.2", reply_to=where))
        while not isinstance(refused := await asker.next(), Refused):
            pass
        assert refused.reason is RefusalReason.DRAINING
        assert not drained.done()
        prober.end(ONE)
        async with asyncio.timeout(5):
            await drained


class Said:
    """What the agent has logged."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._so_far = capsys, ""

    def __call__(self) -> str:
        self._so_far += self._capsys.readouterr().out
        return self._so_far


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


async def test_broker_stops_and_returns(
    broker: Broker, jobs: Jobs, prober: FakeProber, said: Said
) -> None:
    """Running jobs finish in the meantime; then presence is published again, and jobs arrive."""
    async with asking() as (asker, where), running(broker, jobs):
        async with watching(broker) as watch:
            await watch.there()
            await watch.publish(job("job-1", reply_to=where))
            assert isinstance(await asker.next(), Hello)
            assert await asker.next() == Accepted(JobId("job-1"))
            broker.kill()
        prober.end(ONE)
        while not isinstance(await asker.next(), Frame):
            pass
        await until(lambda: "refused" in said())
        broker.start()
        async with watching(broker) as watch:
            await watch.there(within_s=3)
            await watch.publish(job("job-2", reply_to=where))
            while await asker.next() != Accepted(JobId("job-2")):
                pass


@pytest.mark.parametrize("rules", ["topic read #", "topic write #"])
async def test_broker_that_discards_the_presence(
    broker: Broker,
    jobs: Jobs,
    rules: str,
    monkeypatch: pytest.MonkeyPatch,
    said: Said,
) -> None:
    """The broker reports no error. The agent logs it once, and retries with pauses."""
    monkeypatch.setattr(mqtt, "PRESENCE_ECHO_S", 0.2)
    broker.kill()
    (broker.directory / "acl").write_text(f"{rules}\n")
    broker.settings = f"allow_anonymous true\nacl_file {broker.directory / 'acl'}"
    broker.start()
    words = f"it does not let us write {PROCESS.presence}, or not read it"
    before = connections(broker)
    async with running(broker, jobs):
        await until(lambda: words in said())
        began = time.monotonic()
        await until(lambda: connections(broker) >= before + 4)
        assert time.monotonic() - began > 3 * 0.2  # each of them waited so long, and paused before
    assert said().count(words) == 1
    assert "at the broker  " not in said()


@pytest.mark.parametrize("when", ["there", "not yet", "gone"])
async def test_stop_with_an_unresponsive_broker(
    broker: Broker, jobs: Jobs, when: str, said: Said
) -> None:
    """It still stops soon."""
    if when == "not yet":
        broker.freeze()
    link = MqttLink(
        broker_of(broker.url), IDENTITY, jobs, broker_tls=None, tls=None, clock=RunningClock()
    )
    task = asyncio.create_task(link.run(), name="link")
    if when == "not yet":
        await until(lambda: broker.port in connected_to())
    else:
        await until(lambda: "at the broker" in said())
    if when == "there":
        broker.freeze()
    elif when == "gone":
        broker.kill()
        await until(lambda: "broker lost" in said())
    began = time.monotonic()
    await drain(jobs, link, within_s=5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert time.monotonic() - began < 4.5
    broker.thaw()


def connected_to() -> set[int]:
    """The ports that this process has connections to."""
    found = psutil.Process().net_connections("tcp")
    return {each.raddr.port for each in found if each.raddr}


async def test_error_of_a_stream_ends_the_agent(
    broker: Broker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a direct stream."""

    async def fault(self: stream.Stream) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stream.Stream, "run", fault)
    link = MqttLink(
        broker_of(broker.url), IDENTITY, jobs, broker_tls=None, tls=None, clock=RunningClock()
    )
    task = asyncio.create_task(link.run(), name="link")
    async with watching(broker) as watch:
        await watch.there()
        await watch.publish(job(reply_to="127.0.0.1:1"))
        with pytest.raises(ExceptionGroup):
            await asyncio.wait_for(task, 5)
