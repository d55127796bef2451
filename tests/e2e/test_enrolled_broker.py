"""Enrolled agents that take jobs at a broker: its users and rights follow from their identities."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest
from eventually import wait_until
from fleet import AgentSpec
from fleet.asking import slow
from fleet.enrolled import EnrolledFleet
from fleet.enrolled_broker import EnrolledBroker
from fleet.guarded import NOT_AUTHORIZED, TREE, Visitor
from fleet.postgresql import postgresql_server
from lab import Lab

DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
FRA = AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a")
LOST = "Could not gather traceroute data: Code 2"
BODY = {"targets": ["web.lab.example"]}
WITHIN_S = 5.0


@contextmanager
def two(lab: Lab, folder: Path, *flags: str) -> Iterator[list[EnrolledFleet]]:
    """Two coordinators that share a broker and a database."""
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_server())
        secret = folder / "secret"
        secret.write_text("0123456789abcdef" * 4)
        own = ("--ca-secret-file", str(secret))
        files = folder / "files"
        files.mkdir()
        broker = stack.enter_context(EnrolledBroker(lab, files, stored=("--database", url, *own)))
        own += ("--requests-per-5-minutes", "100000", *flags)
        one = stack.enter_context(
            EnrolledFleet(
                lab, agents=[DEN, FRA], coordinator_flags=own, database=url, broker=broker
            )
        )
        other = stack.enter_context(
            EnrolledFleet(lab, coordinator_flags=own, beside=one, broker=broker)
        )
        yield [one, other]


@pytest.fixture
def both(lab: Lab, tmp_path: Path) -> Iterator[list[EnrolledFleet]]:
    with two(lab, tmp_path) as fleets:
        yield fleets


def test_agents_that_join_take_jobs_at_the_broker(both: list[EnrolledFleet]) -> None:
    """No setting names the broker at the agent. Revoked ones are ignored at every coordinator,
    while they stay connected to the broker; and nobody may speak for another."""
    one, _ = both
    for each in both:
        each.wait_attached()
        assert errors(each.trace(BODY)) == {"den01": "", "fra01": ""}
    identity = {
        each["colo"]: each["id"] for each in json.loads(one.command("agent", "list", "--json"))
    }
    broker = one.broker
    assert isinstance(broker, EnrolledBroker)
    rights = (broker.folder / "acl").read_text()
    assert f"user {identity['den01']}\n" in rights
    with visitor(broker, one, "den01-a") as agent, visitor(broker, one, "fra01-a") as watching:
        boot = "0123456789abcdef" * 2
        for topic in (
            f"agents/fra01/fra01-a/{boot}",
            f"agents/den01/den01-b/{boot}",
            "jobs/den01",
            "cancels/fra01",
            "coordinators",
        ):
            assert agent.publish(f"{TREE}/{topic}") == NOT_AUTHORIZED, topic
        assert agent.publish(f"{TREE}/agents/den01/den01-a/{boot}", b"") != NOT_AUTHORIZED
        began = time.monotonic()
        one.command("agent", "revoke", "den01/den01-a")
        for each in both:
            wait_until(lambda fleet=each: up(fleet) == {"fra01"}, within_s=WITHIN_S)
        assert time.monotonic() - began < 2 * WITHIN_S
        # The broker follows, too.
        wait_until(
            lambda: agent.publish(f"{TREE}/agents/den01/den01-a/{boot}", b"") == NOT_AUTHORIZED
        )
        assert watching.publish(f"{TREE}/agents/fra01/fra01-a/{boot}", b"") != NOT_AUTHORIZED
    for each in both:
        answer = errors(each.trace(BODY | {"colos": ["fra01"]}))
        assert answer == {"fra01": ""}
        assert up(each) == {"fra01"}
    # A key that its certificate does not fit is replaced, with the certificate.
    issued, other_key = broker.shown(), one.state("fra01-a") / "agent.pem"
    (broker.folder / "broker.key").write_bytes(other_key.read_bytes())
    wait_until(lambda: broker.shown() != issued)
    assert broker.shown() == (broker.folder / "broker.pem").read_text()


def test_agent_that_joined_before_there_was_a_broker_asks_when_it_starts(
    lab: Lab, tmp_path: Path
) -> None:
    with EnrolledFleet(lab, agents=[DEN]) as fleet:
        fleet.wait_attached()
        with EnrolledBroker(lab, tmp_path, stored=("--data", fleet.directory)) as broker:
            fleet.stop_coordinator()
            fleet.broker = broker
            fleet.start_coordinator()
            fleet.stop_agent("den01-a")
            fleet.start_agent(DEN)
            fleet.wait_logged("den01-a", "at the broker")
            wait_until(lambda: up(fleet) == {"den01"}, within_s=20)
            assert errors(fleet.trace(BODY)) == {"den01": ""}


def test_renamed_agent_goes_on_under_its_new_name(both: list[EnrolledFleet]) -> None:
    """It finishes its trace under the former one. Nobody starts it again."""
    one, other = both
    for each in both:
        each.wait_attached()
    broker = one.broker
    assert isinstance(broker, EnrolledBroker)
    dark = {"targets": [one.lab.address("dark")], "options": {"wait_time": 3, "max_ttl": 5}}
    with ThreadPoolExecutor() as pool:
        running = pool.submit(other.trace, dark)
        time.sleep(1)  # into the trace
        one.command("agent", "rename", "den01/den01-a", "den02/probe7", "--city", "Golden, CO, US")
        assert errors(running.result()) == {"den01": "", "fra01": ""}
    for each in both:
        wait_until(lambda fleet=each: up(fleet) == {"den02", "fra01"}, within_s=20)
        assert errors(each.trace(BODY | {"colos": ["den02"]})) == {"den02": ""}
    assert one.agents["den01-a"].poll() is None
    assert "agents/den02/probe7/+" in (broker.folder / "acl").read_text()
    assert "den01" not in (broker.folder / "acl").read_text()
    listed = json.loads(one.command("agent", "list", "--json"))
    [den] = [each for each in listed if each["agent_id"] == "probe7"]
    assert (den["colo"], den["city"]) == ("den02", "Golden, CO, US")
    assert den["attached_since"] is not None


def test_agent_at_a_broker_is_revoked_while_it_traces(both: list[EnrolledFleet]) -> None:
    """At a third party, as it were: by the database. The client gets what the other one has."""
    one, other = both
    for each in both:
        each.wait_attached()
    dark = slow(one.lab, multipath=True)  # the command takes its time on a busy machine
    with ThreadPoolExecutor() as pool:
        running = pool.submit(other.trace, dark)
        time.sleep(1)  # into the trace
        one.command("agent", "revoke", "den01/den01-a")
        for each in both:
            wait_until(lambda fleet=each: up(fleet) == {"fra01"}, within_s=WITHIN_S)
        answer = running.result()
    assert errors(answer) == {"den01": LOST, "fra01": ""}
    assert any("den01-a was revoked while it traced" in m["message"] for m in answer["messages"])


LIFETIME_S = 10.0


def test_authority_is_replaced_while_the_broker_runs_on(lab: Lab, tmp_path: Path) -> None:
    """Mosquitto knows the former CA alone: it reads that at its start only."""
    with two(lab, tmp_path, "--agent-certificate-hours", str(LIFETIME_S / 3_600)) as fleets:
        one, other = fleets
        one.wait_attached()
        one.command("ca", "rotate", "--ca-secret-file", str(tmp_path / "secret"))
        asyncio.run(sign_now(one.database or ""))
        agent, broker = one.state("den01-a"), tmp_path / "files" / "broker.pem"
        for file in (agent / "agent.pem", broker):
            wait_until(
                lambda file=file: file.read_text().count("BEGIN CERTIFICATE") == 2, within_s=20
            )
        one.stop_agent("den01-a")
        one.start_agent(DEN)
        other.stop_coordinator()
        other.start_coordinator()
        for each in fleets:
            wait_until(lambda fleet=each: up(fleet) == {"den01", "fra01"}, within_s=20)
            assert errors(each.trace(BODY)) == {"den01": "", "fra01": ""}


async def sign_now(url: str) -> None:
    """Have the new authority sign, instead of in a minute."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "UPDATE authorities SET signs_at = $1 WHERE id = 2", int(time.time())
        )
    finally:
        await connection.close()


def test_expired_agents_are_ignored_and_renewed_ones_are_not(lab: Lab, tmp_path: Path) -> None:
    """By an agent that cannot renew its certificate, since it is stopped for a while."""
    with two(lab, tmp_path, "--agent-certificate-hours", str(LIFETIME_S / 3_600)) as fleets:
        one, other = fleets
        one.wait_attached()
        other.wait_attached()
        time.sleep(1.2 * LIFETIME_S)
        for each in fleets:
            assert up(each) == {"den01", "fra01"}
            assert errors(each.trace(BODY)) == {"den01": "", "fra01": ""}
        log = one.agent_log("den01-a").read_text()
        assert "certificate renewed" in log
        assert log.count('"at the broker"') == 1
        # Its state directory names a coordinator at which nobody answers: it is not renewed.
        one.stop_agent("den01-a")
        file = one.state("den01-a") / "settings.json"
        kept = json.loads(file.read_text())
        file.write_text(json.dumps(kept | {"join": f"{lab.management_address}:1"}))
        one.start_agent(DEN)
        wait_until(lambda: up(one) == up(other) == {"den01", "fra01"}, within_s=8)
        wait_until(lambda: up(one) == up(other) == {"fra01"}, within_s=2 * LIFETIME_S)
        assert one.agents["den01-a"].poll() is None
        file.write_text(json.dumps(kept))
        one.stop_agent("den01-a")
        one.start_agent(DEN)
        wait_until(lambda: up(one) == up(other) == {"den01", "fra01"}, within_s=20)


def visitor(broker: EnrolledBroker, fleet: EnrolledFleet, agent_id: str) -> Visitor:
    """A client with the certificate of an agent."""
    context = ssl.create_default_context(cafile=broker.folder / "ca.pem")
    context.load_cert_chain(fleet.state(agent_id) / "agent.pem")
    return Visitor.at(broker.host, broker.port, context)


def errors(answer: dict[str, object]) -> dict[str, str]:
    """By colo: why its row failed."""
    [target] = answer["result"]  # type: ignore[misc]
    return {row["colo"]["name"]: row["error"] for row in target["colos"]}


def up(fleet: EnrolledFleet) -> set[str]:
    """The colos with an agent."""
    return {colo["name"] for colo in fleet.colos() if colo["state"] == "up"}
