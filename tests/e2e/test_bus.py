"""Broker, agents and coordinators that are killed, frozen and restarted, with a real broker."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fleet import AgentSpec, Broker, Fleet
from fleet.asking import agents, ask, metric, slow, until, until_running
from fleet.judge import row_faults
from fleet.stranger import keep, present, stranger
from lab import Lab

DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
FRA = [
    AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id=f"fra01-{letter}")
    for letter in "ab"
]


@pytest.fixture
def fleet(lab: Lab, broker: Broker) -> Iterator[Fleet]:
    """A coordinator, an agent in den01 and two in fra01."""
    with Fleet(lab, agents=[DEN, *FRA], broker=broker) as running:
        running.wait_attached()
        yield running


def _quick(lab: Lab, colo: str, target: str = "web") -> dict[str, Any]:
    return {"targets": [lab.address(target)], "colos": [colo]}


def _row(answer: dict[str, Any]) -> dict[str, Any]:
    (row,) = answer["result"][0]["colos"]
    assert isinstance(row, dict)
    return row


def _whole(answer: dict[str, Any]) -> bool:
    """Check that the row is a complete trace of `slow`, without messages."""
    row = _row(answer)
    return (row["error"], len(row["hops"]), answer["messages"]) == ("", 12, [])


class FirstHops:
    """Counts a host's probes to a target with TTL 1. Each trace begins with them, one for each
    packet of a hop."""

    def __init__(self, lab: Lab, host: str, target: str) -> None:
        self._lab, self._host = lab, host
        self._rule = f"ip ttl 1 ip daddr {lab.address(target)} counter"

    def __enter__(self) -> FirstHops:
        chain = "chain out {\n type filter hook output priority 0;\n" + self._rule + "\n}"
        self._nft("table inet count {\n" + chain + "\n}")
        return self

    def __exit__(self, *_: object) -> None:
        self._nft("delete table inet count")

    def count(self) -> int:
        """Number of probes."""
        (counted,) = re.findall(r"counter packets (\d+)", self._nft("list table inet count"))
        return int(counted)

    def _nft(self, words: str) -> str:
        done = self._lab.run(self._host, ["nft", words])
        assert done.returncode == 0, done.stderr
        return done.stdout


async def test_broker_killed_and_restarted(
    fleet: Fleet,
    lab: Lab,
    broker: Broker,
    check_answer: Callable[[Any], None],
    record_property: Any,
) -> None:
    """Running jobs finish and report. New requests get Code 1 with the reason within 2 s.
    Everything recovers within 5 s after the restart of the broker, which has lost all messages."""
    running = asyncio.create_task(ask(fleet, slow(lab, "fra01")))
    await until_running(fleet)
    await asyncio.to_thread(broker.kill)
    refused_s = 0.0

    async def connects_again_in_vain() -> bool:
        nonlocal refused_s
        began = time.monotonic()
        answer = await ask(fleet, _quick(lab, "den01"))
        refused_s = max(refused_s, time.monotonic() - began)
        check_answer(answer)
        assert _row(answer)["error"] == "Could not gather traceroute data: Code 1"
        (message,) = answer["messages"]
        assert message["message"].startswith(
            f"den01: no agent of den01 can be asked: the broker {broker.url} is out of reach: "
        )
        assert message["message"].endswith(("it was lost", "Connection refused"))
        assert message["source"]["pointer"] == "/result/0/colos/0"
        record_property("reason", message["message"])
        return bool(message["message"].endswith("Connection refused"))

    await until(connects_again_in_vain, within_s=10)
    assert refused_s < 10  # far below the request's own 25 s
    assert await metric(fleet, "colotrace_broker_up") == 0
    assert _whole(await running)

    await asyncio.to_thread(broker.start)
    began = time.monotonic()

    async def back() -> bool:
        answer = await ask(fleet, {"targets": [lab.address("web")], "colos": ["den01", "fra01"]})
        return not any(row["error"] for row in answer["result"][0]["colos"])

    await until(back, within_s=5)
    back_s = time.monotonic() - began
    assert await metric(fleet, "colotrace_broker_up") == 1
    assert len(await present(broker)) == len(fleet.agents)
    assert await agents(fleet) == {"den01": 1, "fra01": 2}
    record_property("refused_s", refused_s)
    record_property("back_s", back_s)


async def test_request_at_the_moment_of_the_brokers_return(
    fleet: Fleet, lab: Lab, broker: Broker
) -> None:
    """The coordinator may reconnect before the agent; the job is offered again when the agent
    does."""
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)

    async def up() -> bool:
        return await metric(fleet, "colotrace_broker_up") == 1

    await until(up, within_s=5)
    began = time.monotonic()
    answers = await asyncio.gather(*(ask(fleet, _quick(lab, "den01", f"many{i}")) for i in (1, 2)))
    assert [_row(answer)["error"] for answer in answers] == ["", ""]
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("kill", [False, True], ids=["frozen", "killed"])
async def test_agent_lost_before_it_accepts(
    fleet: Fleet, lab: Lab, record_property: Any, *, kill: bool
) -> None:
    """Jobs that the broker gives to a killed or frozen agent move to the other agent within about a
    second."""
    assert _row(await ask(fleet, _quick(lab, "fra01")))["error"] == ""
    fleet.freeze_agent("fra01-a")

    async def timed(number: int) -> tuple[dict[str, Any], float]:
        began = time.monotonic()
        answer = await ask(fleet, _quick(lab, "fra01", f"many{number + 1}"))
        return answer, time.monotonic() - began

    asking = [asyncio.create_task(timed(number)) for number in range(10)]
    if kill:

        async def all_begun() -> bool:
            return await metric(fleet, "colotrace_job_seconds_count") + await metric(
                fleet, "colotrace_jobs_running"
            ) >= 1 + len(asking)

        await until(all_begun, within_s=5)
        await asyncio.to_thread(fleet.stop_agent, "fra01-a", kill=True)
    answers = await asyncio.gather(*asking)
    for number, (answer, took_s) in enumerate(answers):
        assert row_faults(lab, _row(answer), target=f"many{number + 1}") == []
        assert took_s < 10  # far below the request's own 25 s
    moved = sum(bool(answer["messages"]) for answer, _ in answers)
    assert moved > 0  # some went to it, since the broker does not notice that it is frozen
    record_property("moved", moved)
    record_property("slowest_s", max(took_s for _, took_s in answers))


async def test_coordinator_killed(
    fleet: Fleet, another: Fleet, lab: Lab, broker: Broker, record_property: Any
) -> None:
    """Only its own request is lost, and the next one goes to the other coordinator. The agent drops
    the jobs of the killed coordinator."""
    ten_s = slow(lab, "den01", multipath=True, packet_type="udp")
    lost = asyncio.create_task(ask(fleet, ten_s))
    kept = asyncio.create_task(ask(another, slow(lab, "den01")))

    async def both_run() -> bool:
        return await _running(broker, "den01") == 2

    await until(both_run, within_s=4)
    began = time.monotonic()
    await asyncio.to_thread(fleet.stop_coordinator, kill=True)
    with pytest.raises(httpx.TransportError):
        await lost
    answer = await ask(another, {"targets": [lab.address("web")], "colos": ["den01", "fra01"]})
    assert [row["error"] for row in answer["result"][0]["colos"]] == ["", ""]
    assert _whole(await kept)

    async def dropped() -> bool:
        return await _running(broker, "den01") == 0

    await until(dropped, within_s=10)
    record_property("dropped_s", time.monotonic() - began)


async def _running(broker: Broker, colo: str) -> int:
    """Number of running jobs that the colo's only agent reports, in a presence that it is made to
    renew."""
    (process,) = [each for each in await present(broker) if each.colo == colo]
    async with stranger(broker) as client:
        await keep(client, process.presence, b"")
    said = {}

    async def anew() -> bool:
        said.update(await present(broker))
        return process in said

    await until(anew, within_s=5)
    return said[process].heartbeat.running_jobs


async def test_restarted_coordinator_knows_all_agents_at_once(
    fleet: Fleet, lab: Lab, record_property: Any
) -> None:
    """It is killed during a job and restarted on the same ports; the agent's old stream does not
    interfere."""
    asking = asyncio.create_task(ask(fleet, slow(lab, "den01")))
    await until_running(fleet)
    await asyncio.to_thread(fleet.stop_coordinator, kill=True)
    with pytest.raises(httpx.TransportError):
        await asking
    await asyncio.to_thread(fleet.start_coordinator)
    took_s = await asyncio.to_thread(fleet.wait_attached)
    answer = await ask(fleet, _quick(lab, "den01"))
    assert _row(answer)["error"] == "", answer["messages"]
    record_property("known_s", took_s)


async def test_slow_broker(fleet: Fleet, lab: Lab, broker: Broker) -> None:
    """The broker stops for a second with jobs in its queue. Both requests are answered, and the job
    that only one agent could run has run once."""
    with FirstHops(lab, "den01", "web") as probes:
        broker.freeze()
        asking = [asyncio.create_task(ask(fleet, _quick(lab, colo))) for colo in ("den01", "fra01")]
        await asyncio.sleep(1)
        broker.thaw()
        for answer, colo in zip(await asyncio.gather(*asking), ("den01", "fra01"), strict=True):
            row = _row(answer)
            assert (row["colo"]["name"], row_faults(lab, row, target="web")) == (colo, [])
        assert probes.count() == 3
    assert await agents(fleet) == {"den01": 1, "fra01": 2}


async def test_job_delivered_twice_runs_once(fleet: Fleet, lab: Lab, broker: Broker) -> None:
    """Delivered twice to one agent, it runs once. Delivered to another agent of the colo as well,
    that agent is told to cancel it, and the first continues."""
    async with stranger(broker) as client:
        await client.subscribe("colotrace/v1/jobs/#")
        for colo in ("den01", "fra01"):
            with FirstHops(lab, colo, "dark") as probes:
                asking = asyncio.create_task(ask(fleet, slow(lab, colo)))
                message = await asyncio.wait_for(anext(client.messages), 20)
                for _ in range(10):
                    await client.publish(message.topic.value, message.payload, qos=1)
                    await client.publish(f"colotrace/v1/jobs/{colo}", message.payload, qos=1)
                assert _whole(await asking)
                if colo == "den01":
                    assert probes.count() == 3
            async with asyncio.timeout(20):  # the copies
                for _ in range(20):
                    await anext(client.messages)


async def test_job_cancelled_before_delivery_does_not_run(fleet: Fleet, lab: Lab) -> None:
    """The client disconnects while the agent is frozen, so the agent reads the job and then the
    cancel."""
    with FirstHops(lab, "den01", "web") as probes:
        fleet.freeze_agent("den01-a")
        asking = asyncio.create_task(ask(fleet, _quick(lab, "den01")))

        async def begun() -> bool:
            return await metric(fleet, "colotrace_jobs_running") == 1

        await until(begun, within_s=5)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        async def over() -> bool:
            return await metric(fleet, "colotrace_jobs_running") == 0

        await until(over, within_s=2)
        fleet.thaw_agent("den01-a")
        answer = await ask(fleet, _quick(lab, "den01", "far"))
        assert row_faults(lab, _row(answer), target="far") == []
        assert probes.count() == 0


async def test_uplink_cut_during_a_trace(fleet: Fleet, lab: Lab, broker: Broker) -> None:
    """Stream and broker are lost together for a moment; no reply is missing."""
    asking = asyncio.create_task(ask(fleet, slow(lab, "den01")))
    await until_running(fleet)
    ports = [fleet.grpc.rpartition(":")[2], str(broker.port)]
    for port in ports:
        kill = ["ss", "-K", "state", "established", "dport", "=", f":{port}"]
        done = await asyncio.to_thread(lab.run, "den01", kill)
        assert port in done.stdout, done.stderr  # the connections it has cut
    assert _whole(await asking)
    assert await agents(fleet) == {"den01": 1, "fra01": 2}


async def test_two_coordinators_at_once(fleet: Fleet, another: Fleet, lab: Lab) -> None:
    """Fifty concurrent requests at each, with the same agents: every row is correct."""
    bodies = [
        {**_quick(lab, ("den01", "fra01")[number % 2]), "options": {"max_ttl": 12 + number // 2}}
        for number in range(50)
    ]
    answers = await asyncio.gather(
        *(ask(each, body) for body in bodies for each in (fleet, another))
    )
    assert [fault for a in answers for fault in row_faults(lab, _row(a), target="web")] == []
    # On a busy machine an agent may accept a job so late that the job is published again.
    said = [message["message"] for answer in answers for message in answer["messages"]]
    assert all("took the job within" in words for words in said), said
    assert len(said) < 20
    for each in (fleet, another):
        assert await metric(each, "colotrace_jobs_running") == 0
