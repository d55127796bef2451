"""Presence with a real broker: every coordinator sees agents appear and disappear in time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from colotrace_proto import bus
from colotrace_proto.messages import Cancel, Job, JobId, PacketType
from colotrace_proto.published import encode_published
from colotrace_proto.v1.fleet_pb2 import AgentMessage, CoordinatorMessage, Draining, Welcome
from fleet import AgentSpec, Broker, Fleet
from fleet.asking import agents, ask, metric, until
from fleet.stranger import keep, presence, present, stranger
from lab import Lab

KEEPALIVE_S = 1.5 * bus.KEEPALIVE_S
BUSY_S = 8.0
"""What may be added to it: Mosquitto 2.0 looks for silent clients every 5 to 6 s (measured, 6 to 12
s for a keepalive of 4 s), and the machine is busy."""
DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
FRA = AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a")
# The same agent id on another host; the path shows which of the two has traced.
TWIN = AgentSpec(host="sin01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a")
TWINS = "fra01-a on sin01"


@pytest.fixture
def fleet(lab: Lab, broker: Broker) -> Iterator[Fleet]:
    """A coordinator, and an agent each in den01 and fra01."""
    with Fleet(lab, agents=[DEN, FRA], broker=broker) as running:
        running.wait_attached()
        yield running


async def _traced_from(fleet: Fleet, lab: Lab) -> str:
    """The host of the agent that traced for fra01, or the error."""
    answer = await ask(fleet, {"targets": [lab.address("web")], "colos": ["fra01"]})
    (row,) = answer["result"][0]["colos"]
    if row["error"]:
        return str(answer["messages"])
    first = {node["ip"] for node in row["hops"][0]["nodes"]}
    return next(host for host in ("fra01", "sin01") if first == lab.path(host, "web")[0].addresses)


async def _log_has(fleet: Fleet, agent: str, words: str, *, within_s: float) -> float:
    async def has() -> bool:
        return words in fleet.agent_log(agent).read_text()

    return await until(has, within_s=within_s)


async def test_new_coordinator_knows_all_agents(
    fleet: Fleet, lab: Lab, broker: Broker, record_property: Any
) -> None:
    """More than a thousand agents, by its API, within a time from its `listening`."""
    async with stranger(broker) as client:
        for number in range(1_000):
            topic, payload = presence(f"zzz{number % 50 + 1}", f"agent-{number}")
            await keep(client, topic, payload, for_s=300)
    with Fleet(lab, broker=broker, beside=fleet) as later:

        async def whole() -> bool:
            return sum((await agents(later)).values()) == 1_002

        took_s = await until(whole, within_s=10)
        record_property("whole_fleet_s", took_s)
        assert await _traced_from(later, lab) == "fra01"


async def test_killed_agent_is_lost_at_once_and_unreachable_one_within_the_keepalive(
    fleet: Fleet, another: Fleet, record_property: Any
) -> None:
    """On both coordinators."""

    async def lost(colo: str) -> bool:
        return colo not in await agents(fleet) and colo not in await agents(another)

    fleet.freeze_agent("den01-a")
    vanished = asyncio.create_task(until(lambda: lost("den01"), within_s=20))
    await asyncio.to_thread(fleet.stop_agent, "fra01-a", kill=True)
    killed_s = await until(lambda: lost("fra01"), within_s=1)
    vanished_s = await vanished
    assert vanished_s < bus.PRESENCE_EXPIRY_S  # not by the presence's expiry
    record_property("killed_s", killed_s)
    record_property("vanished_s", vanished_s)


async def test_late_will_of_an_old_process_does_not_hide_the_new_one(
    fleet: Fleet, another: Fleet, lab: Lab, broker: Broker
) -> None:
    """A process is frozen and a new one starts. The old one's will has no effect on the new one.
    When the old process continues, it withdraws."""
    (old,) = [each for each in await present(broker) if each.colo == "fra01"]
    fleet.freeze_agent("fra01-a")
    fleet.start_agent(TWIN, name=TWINS)

    async def there() -> bool:
        return await _traced_from(fleet, lab) == "sin01"

    await until(there, within_s=5)
    gaps = 0

    async def will_has_come() -> bool:
        nonlocal gaps
        for each in (fleet, another):
            gaps += (await agents(each)).get("fra01") != 1
        return old not in await present(broker)

    async with asyncio.timeout(5 * (KEEPALIVE_S + BUSY_S)):
        while not await will_has_come():  # noqa: ASYNC110 - a gap may be short
            await asyncio.sleep(0.01)
    for each in (fleet, another):
        assert (await agents(each))["fra01"] == 1
        assert await _traced_from(each, lab) == "sin01"
    assert gaps == 0

    fleet.thaw_agent("fra01-a")
    await _log_has(fleet, "fra01-a", "a later process is there as fra01-a", within_s=5)
    assert old not in await present(broker)
    for each in (fleet, another):
        assert (await agents(each))["fra01"] == 1
        assert await _traced_from(each, lab) == "sin01"


async def test_later_of_two_agents_with_one_id_counts_until_it_stops(
    fleet: Fleet, another: Fleet, lab: Lab, record_property: Any
) -> None:
    """On both coordinators; the earlier one logs the reason, and returns."""
    assert await _traced_from(fleet, lab) == "fra01"
    assert await _traced_from(another, lab) == "fra01"
    fleet.start_agent(TWIN, name=TWINS)
    await _log_has(fleet, "fra01-a", "give each agent of a colo an id of its own", within_s=10)
    for each in (fleet, another):
        assert await _traced_from(each, lab) == "sin01"
        assert (await agents(each))["fra01"] == 1
    await asyncio.to_thread(fleet.stop_agent, TWINS, kill=True)

    async def back() -> bool:
        return all([await _traced_from(each, lab) == "fra01" for each in (fleet, another)])

    record_property("back_s", await until(back, within_s=20))


async def test_earlier_agent_returns_before_grpc_notices_the_loss_of_the_later(
    fleet: Fleet, lab: Lab
) -> None:
    """The later one's host disappears. The broker's will counts, before gRPC notices the loss."""
    fleet.start_agent(TWIN, name=TWINS)

    async def twin() -> bool:
        return await _traced_from(fleet, lab) == "sin01"  # and so has a stream

    await until(twin, within_s=10)
    fleet.freeze_agent(TWINS)

    async def back() -> bool:
        return await _traced_from(fleet, lab) == "fra01"

    await until(back, within_s=35)


async def test_presence_expires_without_renewal(fleet: Fleet, lab: Lab, broker: Broker) -> None:
    """At the same time for a coordinator that knew it and for one that connects later."""
    async with stranger(broker) as client:
        await keep(client, *presence("zzz1", "nobody"), for_s=10)
    began = time.monotonic()
    assert (await agents(fleet))["zzz1"] == 1
    with Fleet(lab, broker=broker, beside=fleet) as later:
        later.wait_attached()
        assert (await agents(later)).get("zzz1") == 1

        async def gone() -> bool:
            await asyncio.sleep(0.1)  # a token has 1,200 requests in 5 minutes
            return "zzz1" not in {**await agents(fleet), **await agents(later)}

        await until(gone, within_s=20)
        # The broker counts the expiry in whole seconds and checks it each second.
        assert 9 < time.monotonic() - began < bus.PRESENCE_EXPIRY_S


async def test_deleted_presence_is_renewed_at_once(fleet: Fleet, lab: Lab, broker: Broker) -> None:
    """Deleted by another client, or by a late will of an earlier connection."""
    (process,) = [each for each in await present(broker) if each.colo == "fra01"]
    async with stranger(broker) as client:
        for payload in (b"", b"rubbish", b""):
            await keep(client, process.presence, payload)

            async def there() -> bool:
                return process in await present(broker)

            await until(there, within_s=3)
    await until(lambda: _is(fleet, {"den01": 1, "fra01": 1}), within_s=1)
    assert await _traced_from(fleet, lab) == "fra01"


async def _is(fleet: Fleet, known: dict[str, int]) -> bool:
    return await agents(fleet) == known


def _job(reply_to: str, **fields: Any) -> bytes:
    job = Job(
        JobId("rubbish"), "198.18.0.1", PacketType.ICMP, 5, 1, 1_000, 0, 0, 5_000,
        reply_to=reply_to, **fields,
    )  # fmt: skip
    return encode_published(job)


def _invalid_messages() -> list[bytes]:
    """Invalid messages for all topics of the tree."""
    noise = random.Random(1)
    unknown = CoordinatorMessage()
    unknown.ParseFromString(_job("192.0.2.1:9"))
    unknown.job.packet_type = 99  # type: ignore[assignment]
    garbage = CoordinatorMessage()
    garbage.CopyFrom(unknown)
    garbage.job.reply_to = "\n; drop table agents"
    return [
        *(noise.randbytes(size) for size in (1, 2, 10, 100, 1_000)),
        b"\0" * 100_000,
        noise.randbytes(16_384),
        AgentMessage(draining=Draining()).SerializeToString(),
        CoordinatorMessage(welcome=Welcome(coordinator_id=b"x" * 16)).SerializeToString(),
        presence("den01", "den01-a")[1],
        presence("fra01", "fra01-a", started_ms=2**63)[1],
        _job(""),
        _job("127.0.0.1:9"),
        unknown.SerializeToString(),
        garbage.SerializeToString(),
        encode_published(Cancel(JobId("nobody-knows"))),
    ]


async def test_invalid_messages_on_every_topic(lab: Lab, broker: Broker) -> None:
    """Retained before the programs start, and published while they run: they keep working, and
    count and log the messages."""
    boot = "0123456789abcdef" * 2
    topics = [
        f"colotrace/v1/agents/den01/den01-a/{boot}",
        f"colotrace/v1/agents/fra01/fra01-a/{boot}",
        "colotrace/v1/agents/../../..",
        f"colotrace/v1/agents/DEN01/x y/{boot.upper()}",
        "colotrace/v1/jobs/den01",
        "colotrace/v1/jobs/fra01",
        f"colotrace/v1/jobs/fra01/fra01-a/{boot}",
        "colotrace/v1/cancels/den01",
        "colotrace/v1/cancels/fra01",
    ]
    async with stranger(broker) as client:
        for number, payload in enumerate(_invalid_messages()):
            for topic in topics:
                # A topic retains one message: a different one on each, and then the last one on
                # all.
                away = topic.replace("den01-a", f"den01-{number}")
                await keep(client, away, payload)
        with Fleet(lab, agents=[DEN, FRA], broker=broker) as fleet:
            await asyncio.to_thread(fleet.wait_attached)
            body = {"targets": [lab.address("web")], "colos": ["den01", "fra01"]}

            async def whole() -> None:
                answer = await ask(fleet, body)
                assert [row["error"] for row in answer["result"][0]["colos"]] == ["", ""]
                assert answer["messages"] == []

            await whole()
            counted = await metric(fleet, "colotrace_broker_invalid_messages_total")
            assert counted > 0
            processes = list(await present(broker))
            topics += [each for process in processes for each in (process.presence, process.jobs)]
            for payload in [*_invalid_messages(), b""]:
                for topic in topics:
                    await client.publish(topic, payload, qos=1)
                    await client.publish(topic, payload, qos=1, retain=True)
                if len(payload) % 2:
                    await whole()

            # The broker delivers in order: once this agent is known, all invalid messages were
            # read.
            await keep(client, *presence("zzz01", "last"), for_s=60)

            async def back() -> bool:
                known = await asyncio.to_thread(fleet.colos)
                up = {colo["name"]: colo["agents"] for colo in known if colo["state"] == "up"}
                return up == {"den01": 1, "fra01": 1, "zzz01": 1}

            await until(back, within_s=3)
            await whole()
            assert await metric(fleet, "colotrace_broker_invalid_messages_total") > counted
            for agent in ("den01-a", "fra01-a"):
                assert "invalid messages at the broker" in fleet.agent_log(agent).read_text()
                assert "Traceback" not in fleet.agent_log(agent).read_text()
            coordinator = (fleet.directory / "coordinator.log").read_text()
            assert "Traceback" not in coordinator
            assert "broker_lost" not in coordinator
