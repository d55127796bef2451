"""Reports between coordinators at a real broker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from colotrace_coordinator.links.mqtt.reports import ECHO_WITHIN_S
from colotrace_coordinator.peers.counts import Count
from colotrace_coordinator.peers.peers import Peers
from colotrace_proto import bus
from colotrace_proto.bus import broker_of
from colotrace_proto.measured import Options
from colotrace_proto.messages import Accepted
from colotrace_proto.mqtt import connection
from colotrace_proto.running import RunningClock
from eventually import until
from fleet import Broker
from fleet.stranger import stranger
from integration.coordinator.links.mqtt.at_broker import (
    Coordinator,
    finished,
    host,
    reachable,
    running,
)
from lab import Lab
from structlog.testing import capture_logs
from unit.coordinator.scripted_agent import path

_TOPICS = ("agents", "jobs", "cancels")


class Recorded:
    """Counts of another coordinator, made by hand."""

    def __init__(self, key_parts: int) -> None:
        self.key_parts = key_parts
        self.to_report: list[Count] = []
        self.heard_counts: list[Count] = []

    def changes(self, now: float) -> list[Count]:  # noqa: ARG002
        reported, self.to_report = self.to_report, []
        return reported

    def everything(self) -> list[Count]:
        return []

    def heard(self, origin: str, count: Count, now: float, *, whole: bool) -> None:  # noqa: ARG002
        self.heard_counts.append(count)

    def gone(self, origin: str) -> None: ...


class Another:
    """Another coordinator, of which only the reports exist."""

    def __init__(self) -> None:
        self.peers = Peers()
        self.jobs, self.packets = Recorded(1), Recorded(2)
        self.peers.share("jobs", self.jobs)
        self.peers.share("packets", self.packets)

    async def run(self, broker: Broker) -> None:
        async with connection(
            broker_of(broker.url),
            tls=None,
            identifier=f"another-{self.peers.origin}",
            clock=RunningClock(),
        ) as client:
            await client.subscribe(bus.COORDINATORS)
            self.peers.connected()
            now = asyncio.get_running_loop().time

            async def publish() -> None:
                while True:
                    for report in self.peers.to_send(now()):
                        await client.publish(bus.COORDINATORS, report)
                    await asyncio.sleep(0.02)

            publishing = asyncio.create_task(publish())
            try:
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    self.peers.heard(message.payload, now())
            finally:
                publishing.cancel()
                await asyncio.gather(publishing, return_exceptions=True)


@pytest.fixture
async def another(broker: Broker, coordinator: Coordinator) -> AsyncIterator[Another]:
    there = Another()
    task = asyncio.create_task(there.run(broker))
    await until(lambda: there.peers.coordinators == coordinator.peers.coordinators == 2)
    yield there
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_coordinators_know_of_each_other(broker: Broker, coordinator: Coordinator) -> None:
    assert coordinator.number("colotrace_coordinators") == 1
    async with running(broker) as other:
        for each in (coordinator, other):
            await until(lambda each=each: each.number("colotrace_coordinators") == 2)
    assert coordinator.peers.echoed


async def test_running_jobs_and_packets_are_reported(
    broker: Broker, coordinator: Coordinator, another: Another
) -> None:
    async with host(broker, coordinator) as agent:
        await coordinator.until(("a1", "up"))
        ticket = coordinator.begin()
        job = await agent.job()
        packets = Options().max_ttl * Options().packets_per_ttl
        async with agent.stream() as stream:
            await stream.attach()
            await stream.say(Accepted(job.job_id))
            await until(lambda: Count(("acc",), 1) in another.jobs.heard_counts)
            assert another.packets.heard_counts == [Count(("acc", "192.0.2.1"), packets)]
            await stream.say(path(job.job_id))
            await finished(ticket)
            await until(lambda: another.jobs.heard_counts[-1] == Count(("acc",), 0))


async def test_account_with_jobs_at_another_coordinator_is_offered_last(
    broker: Broker, coordinator: Coordinator, another: Another
) -> None:
    async with host(broker, coordinator) as agent:
        await coordinator.until(("a1", "up"))
        # What is shared later is reported behind the jobs: once it is heard, they are.
        here, there = Recorded(1), Recorded(1)
        coordinator.peers.share("later", here)
        another.peers.share("later", there)
        another.jobs.to_report = [Count(("heavy",), 100)]
        there.to_report = [Count(("x",), 1)]
        await until(lambda: bool(here.heard_counts))
        tickets = [
            coordinator.begin(f"192.0.2.{n}", account=a) for n, a in ((1, "heavy"), (2, "light"))
        ]
        targets = [(await agent.job()).target for _ in tickets]
        assert targets == ["192.0.2.2", "192.0.2.1"]
        for ticket in tickets:
            ticket.leave()


async def test_reports_pass_again_after_the_brokers_restart(
    broker: Broker, coordinator: Coordinator
) -> None:
    async with running(broker) as other:
        await until(lambda: reachable(other))
        broker.kill()
        await until(lambda: not reachable(other) and not reachable(coordinator))
        broker.start()
        await until(lambda: reachable(other) and reachable(coordinator))
        there = Another()
        task = asyncio.create_task(there.run(broker))
        await until(lambda: there.peers.coordinators == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_invalid_report_is_counted_and_ignored(
    broker: Broker, coordinator: Coordinator
) -> None:
    async with stranger(broker) as client:
        for payload in (b"", b"\xc1", bytes(16_400), b"\x81\xa6origin\xa1x"):
            await client.publish(bus.COORDINATORS, payload, qos=1)
    await until(lambda: coordinator.number("colotrace_broker_invalid_messages_total") == 4)
    assert reachable(coordinator)


async def test_coordinator_without_rights_to_report_works_alone(lab: Lab, tmp_path: Path) -> None:
    """With access rights of release 0.2, which do not have the topic. It is logged once."""
    rights = tmp_path / "acl"
    rights.write_text("\n".join(f"topic readwrite colotrace/v1/{each}/#" for each in _TOPICS))
    settings = f"allow_anonymous true\nacl_file {rights}"
    with capture_logs() as lines, Broker(lab, settings=settings) as broker:
        async with running(broker) as one, host(broker, one) as agent:
            await one.until(("a1", "up"))
            ticket = one.begin()
            assert (await agent.job()).target == "192.0.2.1"
            ticket.leave()

            def logged() -> list[str]:
                return [line["remedy"] for line in lines if line["event"] == "limits_counted_alone"]

            await until(lambda: bool(logged()), within_s=2 * ECHO_WITHIN_S)
            (remedy,) = logged()
            assert bus.COORDINATORS in remedy
            assert reachable(one)
