"""An agent with a real broker, and its streams to scripted coordinators."""

import asyncio
from dataclasses import replace

import pytest
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link import stream, streams, waiting
from colotrace_agent.link.mqtt import MqttLink
from colotrace_proto import bus
from colotrace_proto.bus import broker_of
from colotrace_proto.messages import (
    Accepted,
    Cancel,
    Frame,
    Hello,
    JobId,
    Presence,
    RefusalReason,
    Refused,
)
from colotrace_proto.published import encode_presence, encode_published
from colotrace_proto.running import RunningClock
from eventually import until
from fleet import Broker
from integration.agent.link.broker_side import (
    PROCESS,
    Said,
    asking,
    heard_so_far,
    running,
    watching,
)
from unit.agent.fakes import FakeProber, job
from unit.agent.link.test_session import IDENTITY, ONE


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
    broker: Broker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    """Its coordinator has moved it to another agent by then."""
    async with watching(broker) as watch, asking() as (asker, where), running(broker, jobs):
        await watch.there()
        asker.welcoming.clear()
        await watch.publish(job("job-1", reply_to=where))
        assert isinstance(await asker.next(), Hello)
        await heard_so_far(watch)
        with monkeypatch.context() as expired:
            expired.setattr(waiting, "EXPIRY_S", 0.0)
            asker.welcoming.set()
            await until(lambda: said.attached_to(where))
        await watch.publish(job("job-2", "1.1.1.2", reply_to=where))
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
            await asyncio.wait_for(task, 20)
