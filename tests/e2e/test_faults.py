"""Programs that are killed, restarted or stopped while jobs run."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import eventually
import httpx
import pytest
from fleet import AgentSpec, Fleet
from fleet.asking import ask, slow, until, until_running
from lab import Lab

CITY = "Frankfurt, DE"
LINKS = pytest.mark.parametrize("own_fleet", ["direct", "mqtt"], indirect=True)


async def _with_spare(fleet: Fleet) -> None:
    """A second agent in fra01."""
    fleet.start_agent(AgentSpec(host="fra01", colo="fra01", city=CITY, agent_id="fra01-b"))
    await asyncio.to_thread(fleet.wait_attached)


async def _until_attached(fleet: Fleet, *agent_ids: str) -> str:
    """The first of these agents whose log has a stream."""

    def attached() -> list[str]:
        return [agent_id for agent_id in agent_ids if "attached" in _events(fleet, agent_id)]

    # With a broker, the first frame of a job can reach the coordinator before the agent has read
    # that it is attached.
    await eventually.until(lambda: bool(attached()), within_s=20)
    return attached()[0]


async def _holder(fleet: Fleet) -> str:
    """Which of the two agents of fra01 gets the first job."""
    # Both are idle, so the first by name gets it. With a broker, the agent that attached for it.
    return await _until_attached(fleet, "fra01-a", "fra01-b")


@LINKS
async def test_agent_killed_during_a_trace(
    own_fleet: Fleet, lab: Lab, check_answer: Callable[[Any], None]
) -> None:
    """Without another agent in the colo: Code 2 and the hops so far, long before 25 s."""
    began = time.monotonic()
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01")))
    await until_running(own_fleet)
    await asyncio.sleep(2)  # its routers' answers are reported within 50 ms, on a quiet machine
    await asyncio.to_thread(own_fleet.stop_agent, "fra01-a", kill=True)
    answer = await asking
    check_answer(answer)
    (row,) = answer["result"][0]["colos"]
    assert row["error"] == "Could not gather traceroute data: Code 2"
    truth = lab.path("fra01", "dark")
    for hop, true in zip(row["hops"], truth[:-1], strict=False):
        ips = {node["ip"] for node in hop["nodes"]}
        assert ips <= (true.addresses if not true.silent else {""}), hop
    assert len(row["hops"]) >= len(truth) - 1
    assert answer["messages"][0]["source"]["pointer"] == "/result/0/colos/0"
    assert time.monotonic() - began < 20


@LINKS
async def test_agent_killed_with_another_agent_in_the_colo(own_fleet: Fleet, lab: Lab) -> None:
    """The other agent of the colo runs a fresh trace, and the row is complete."""
    await _with_spare(own_fleet)
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01")))
    await until_running(own_fleet)
    holder = await _holder(own_fleet)
    await asyncio.to_thread(own_fleet.stop_agent, holder, kill=True)
    answer = await asking
    (row,) = answer["result"][0]["colos"]
    assert row["error"] == ""
    assert len(row["hops"]) == 12
    assert f"{holder} was lost" in answer["messages"][0]["message"]


@LINKS
async def test_agent_frozen_with_another_agent_in_the_colo(own_fleet: Fleet, lab: Lab) -> None:
    """The agent freezes during a trace, and the other agent runs a fresh trace."""
    await _with_spare(own_fleet)
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01")))
    await until_running(own_fleet)
    holder = await _holder(own_fleet)
    own_fleet.freeze_agent(holder)
    answer = await asking
    own_fleet.thaw_agent(holder)
    (row,) = answer["result"][0]["colos"]
    assert (row["error"], len(row["hops"])) == ("", 12)
    assert f"{holder} fell silent" in answer["messages"][0]["message"]


@LINKS
async def test_no_agent(own_fleet: Fleet, lab: Lab, check_answer: Callable[[Any], None]) -> None:
    """A colo whose only agent has stopped: Code 1 at once, with a message."""
    assert await asyncio.to_thread(own_fleet.stop_agent, "fra01-a") == 0
    answer = await ask(own_fleet, {"targets": [lab.address("web")], "colos": ["fra01", "den01"]})
    check_answer(answer)
    gone, there = answer["result"][0]["colos"]
    assert gone["error"] == "Could not gather traceroute data: Code 1"
    assert gone["hops"] == []
    assert gone["colo"] == {"city": CITY, "name": "fra01"}
    assert there["error"] == ""
    assert answer["messages"][0]["source"]["pointer"] == "/result/0/colos/0"


async def _remembered(fleet: Fleet, *, colos: int) -> bool:
    """Whether the database has this many colos; they are written within a second."""
    listed = await asyncio.to_thread(fleet.command, "colo", "list")
    return len(listed.splitlines()) == 1 + colos


@LINKS
@pytest.mark.parametrize("kill", [False, True])
async def test_coordinator_restarted(own_fleet: Fleet, lab: Lab, *, kill: bool) -> None:
    """With running jobs: on SIGTERM they finish first; if it is killed, they fail. A request right
    after the restart has complete rows, and the token is still valid."""
    body = {"targets": [*lab.many()[:9], lab.address("dark")], "options": {"wait_time": 2}}
    await until(lambda: _remembered(own_fleet, colos=2), within_s=5)
    asking = asyncio.create_task(ask(own_fleet, body))
    await until_running(own_fleet)
    await asyncio.to_thread(own_fleet.stop_coordinator, kill=kill)
    if kill:
        with pytest.raises(httpx.TransportError):
            await asking
    else:
        cut = await asking
        assert not any(row["error"] for target in cut["result"] for row in target["colos"])
    await asyncio.to_thread(own_fleet.start_coordinator)
    # Requests wait for agents of known colos, and for their announcement by the broker.
    answer = await ask(own_fleet, {"targets": [lab.address("web")]})
    assert [row["error"] for row in answer["result"][0]["colos"]] == ["", ""], answer["messages"]
    assert [agent.poll() for agent in own_fleet.agents.values()] == [None, None]


@LINKS
async def test_agent_told_to_stop_finishes_its_job(own_fleet: Fleet, lab: Lab) -> None:
    """SIGTERM drains: the agent exits after its trace has ended."""
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01")))
    await until_running(own_fleet)
    status = await asyncio.to_thread(own_fleet.stop_agent, "fra01-a")
    answer = await asking
    (row,) = answer["result"][0]["colos"]
    assert (status, row["error"], len(row["hops"])) == (0, "", 12)


@LINKS
async def test_client_disconnect_cancels_its_job(own_fleet: Fleet, lab: Lab) -> None:
    """The agent's trace is cancelled, too."""
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01", multipath=True)))
    await until_running(own_fleet)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    began = time.monotonic()
    # An agent without jobs exits at once on SIGTERM.
    assert await asyncio.to_thread(own_fleet.stop_agent, "fra01-a") == 0
    assert time.monotonic() - began < 8  # the trace would take 10 s


@LINKS
async def test_frozen_agent(
    own_fleet: Fleet, lab: Lab, check_answer: Callable[[Any], None]
) -> None:
    """An agent that neither accepts nor refuses: the row reports it long before 25 s."""
    own_fleet.freeze_agent("fra01-a")
    began = time.monotonic()
    answer = await ask(own_fleet, {"targets": [lab.address("web")], "colos": ["fra01"]})
    check_answer(answer)
    (row,) = answer["result"][0]["colos"]
    assert row["error"] == "Could not gather traceroute data: Code 2"
    (message,) = answer["messages"]
    assert message["code"] == 1102
    assert "agent fra01-a did not answer the offer within" in message["message"]
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("own_fleet", ["direct"], indirect=True)
async def test_firewall_that_forbids_probes(
    own_fleet: Fleet, lab: Lab, check_answer: Callable[[Any], None]
) -> None:
    """On the agent's host, so that no probe can be sent: Code 4 with the system's reason."""
    wall = """
        table inet wall {
            chain out { type filter hook output priority 0; ip ttl < 64 drop; }
        }"""
    made = await asyncio.to_thread(lab.run, "fra01", ["nft", wall])
    assert made.returncode == 0, made.stderr
    try:
        answer = await ask(own_fleet, {"targets": [lab.address("web")], "colos": ["fra01"]})
    finally:
        await asyncio.to_thread(lab.run, "fra01", ["nft", "delete", "table", "inet", "wall"])
    check_answer(answer)
    (row,) = answer["result"][0]["colos"]
    assert row["error"] == "Could not gather traceroute data: Code 4"
    assert "Operation not permitted" in answer["messages"][0]["message"]


def _events(fleet: Fleet, agent_id: str) -> list[str]:
    """The agent's log events about its stream, in order."""
    log = fleet.agent_log(agent_id).read_text()
    return re.findall(r"\b(not attached|attached)\b", log)


def _whole(lab: Lab, answer: dict[str, Any]) -> None:
    """Check that the row is a complete trace of `slow`, without messages."""
    assert answer["messages"] == []
    (row,) = answer["result"][0]["colos"]
    assert row["error"] == ""
    truth = lab.path("fra01", "dark")[:-1]
    assert len(row["hops"]) == 12
    for hop, true in zip(row["hops"], truth, strict=False):
        lost = 3 if true.silent else 0
        assert (hop["packets_sent"], hop["packets_lost"]) == (3, lost)
        assert {node["ip"] for node in hop["nodes"]} <= ({""} if true.silent else true.addresses)


@LINKS
async def test_stream_cut_during_a_trace(
    own_fleet: Fleet, lab: Lab, check_answer: Callable[[Any], None]
) -> None:
    """The agent continues the trace, attaches again and resumes; no reply is missing."""
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01")))
    await until_running(own_fleet)
    await _until_attached(own_fleet, "fra01-a")
    before = _events(own_fleet, "fra01-a")
    port = own_fleet.grpc.rpartition(":")[2]
    kill = ["ss", "-K", "state", "established", "dport", "=", f":{port}"]
    done = await asyncio.to_thread(lab.run, "fra01", kill)
    assert port in done.stdout, done.stderr  # the connections it has cut
    answer = await asking
    check_answer(answer)  # it has silent hops and a silent target
    _whole(lab, answer)
    assert _events(own_fleet, "fra01-a") == [*before, "not attached", "attached"]


@LINKS
async def test_stream_stalled_during_a_trace(own_fleet: Fleet, lab: Lab) -> None:
    """For 1.5 s no packet passes between agent and coordinator; lost frames are sent again."""
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01")))
    await until_running(own_fleet)
    hole = """
        table inet hole {
            chain in { type filter hook input priority 0; iifname mgmt0 counter drop; }
            chain out { type filter hook output priority 0; oifname mgmt0 counter drop; }
        }"""
    made = await asyncio.to_thread(lab.run, "fra01", ["nft", hole])
    assert made.returncode == 0, made.stderr
    try:
        await asyncio.sleep(1.5)
        listed = await asyncio.to_thread(lab.run, "fra01", ["nft", "list", "ruleset"])
    finally:
        await asyncio.to_thread(lab.run, "fra01", ["nft", "delete", "table", "inet", "hole"])
    assert not asking.done()
    lost = [int(count) for count in re.findall(r"counter packets (\d+)", listed.stdout)]
    assert lost[1] >= 2, listed.stdout  # what the agent said, and said again
    _whole(lab, await asking)


@LINKS
async def test_sighup_ends_no_program(own_fleet: Fleet, lab: Lab) -> None:
    """Certificates may have been replaced: agents attach again, and the running job finishes."""
    asking = asyncio.create_task(ask(own_fleet, slow(lab, "fra01")))
    await until_running(own_fleet)
    assert own_fleet.coordinator is not None
    own_fleet.coordinator.send_signal(signal.SIGHUP)
    own_fleet.agents["fra01-a"].send_signal(signal.SIGHUP)
    answer = await asking
    (row,) = answer["result"][0]["colos"]
    assert (row["error"], len(row["hops"])) == ("", 12)
    assert own_fleet.coordinator.poll() is None
    assert own_fleet.agents["fra01-a"].poll() is None
