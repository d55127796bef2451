"""An agent's presence at a real broker, which may fail, and its end."""

import asyncio
import time
from dataclasses import replace

import msgspec
import psutil
import pytest
from colotrace_agent.commands.run import drain
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link import mqtt
from colotrace_agent.link.mqtt import MqttLink
from colotrace_proto.bus import broker_of
from colotrace_proto.messages import (
    Accepted,
    Draining,
    Frame,
    Hello,
    JobId,
    Presence,
    RefusalReason,
    Refused,
)
from colotrace_proto.published import encode_presence
from colotrace_proto.running import RunningClock
from eventually import until
from fleet import Broker
from integration.agent.link.broker_side import (
    PROCESS,
    Said,
    asking,
    connections,
    heard_so_far,
    running,
    watching,
)
from unit.agent.fakes import FakeProber, job
from unit.agent.link.test_session import IDENTITY, ONE


async def test_presence(broker: Broker, jobs: Jobs) -> None:
    """It is published with the agent's capabilities, and deleted by the agent when it stops."""
    async with watching(broker) as watch:
        async with running(broker, jobs):
            await watch.there()
            presence = watch.kept[PROCESS]
            assert presence.hello == IDENTITY.hello()
            assert abs(presence.started_ms - time.time() * 1e3) < 10_000
        await watch.gone()


async def test_deleted_presence_is_renewed(broker: Broker, jobs: Jobs) -> None:
    """For example after a late will of an earlier connection."""
    async with watching(broker) as watch, running(broker, jobs):
        await watch.there()
        for payload in (b"", b"rubbish"):
            await watch.client.publish(PROCESS.presence, payload, qos=1, retain=True)
            watch.kept.clear()
            await watch.there()


async def test_later_process_gets_the_id(
    broker: Broker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier one withdraws, and returns when the later one has stopped."""
    monkeypatch.setattr(mqtt, "SUPERSEDED_PAUSE_S", 0.2)
    later = replace(PROCESS, boot_id=b"L" * 16)
    hello = msgspec.structs.replace(IDENTITY.hello(), boot_id=later.boot_id)
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


async def test_earlier_process_does_not_get_the_id(broker: Broker, jobs: Jobs) -> None:
    """The earlier process will withdraw."""
    earlier = replace(PROCESS, boot_id=b"E" * 16)
    hello = msgspec.structs.replace(IDENTITY.hello(), boot_id=earlier.boot_id)
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
        async with asyncio.timeout(20):
            await drained


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
            await watch.there()
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
    await drain(jobs, link, within_s=20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert time.monotonic() - began < 8  # the library would wait for 10 s
    broker.thaw()


def connected_to() -> set[int]:
    """The ports that this process has connections to."""
    found = psutil.Process().net_connections("tcp")
    return {each.raddr.port for each in found if each.raddr}
