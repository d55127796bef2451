"""Agents that enrol by one line, renew their certificates, and are revoked."""

from __future__ import annotations

import json
import platform
import re
import sqlite3
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import cast

import httpx
import pytest
from eventually import wait_until
from fleet import AgentSpec
from fleet.asking import slow
from fleet.enrolled import EnrolledFleet
from lab import Lab

DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
FRA = AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a")
LOST = "Could not gather traceroute data: Code 2"
NO_AGENT = "Could not gather traceroute data: Code 1"
BODY = {"targets": ["web.lab.example"]}


@pytest.fixture
def fleet(lab: Lab) -> Iterator[EnrolledFleet]:
    with EnrolledFleet(lab, agents=[DEN, FRA]) as fleet:
        yield fleet


def errors(answer: dict[str, object]) -> dict[str, str]:
    """By colo: why its row failed."""
    [target] = answer["result"]  # type: ignore[misc]
    return {row["colo"]["name"]: row["error"] for row in target["colos"]}


def test_agents_join_by_one_line_and_trace(fleet: EnrolledFleet) -> None:
    """Over TLS everywhere, with one certificate for each agent."""
    fleet.wait_attached()
    assert errors(fleet.trace(BODY)) == {"den01": "", "fra01": ""}
    listed = json.loads(fleet.command("agent", "list", "--json"))
    assert [(each["colo"], each["agent_id"], each["state"]) for each in listed] == [
        ("den01", "den01-a", "enrolled"),
        ("fra01", "fra01-a", "enrolled"),
    ]


def test_agents_and_coordinator_start_again_with_what_they_have(fleet: EnrolledFleet) -> None:
    fleet.wait_attached()
    fleet.stop_agent("den01-a")
    fleet.stop_coordinator()
    fleet.start_coordinator()
    fleet.start_agent(DEN)
    fleet.wait_attached()
    assert errors(fleet.trace(BODY)) == {"den01": "", "fra01": ""}


def test_revoked_agent_is_cut_off_while_it_traces(fleet: EnrolledFleet) -> None:
    """Within a second, and for good; the other one goes on."""
    fleet.wait_attached()
    dark = slow(fleet.lab, multipath=True)
    with ThreadPoolExecutor() as pool:
        before = sent(fleet)
        running = pool.submit(fleet.trace, dark)
        wait_until(lambda: sent(fleet) > before, within_s=15)  # into the trace
        fleet.command("agent", "revoke", "den01/den01-a")
        # A busy machine starts the command late.
        wait_until(lambda: up(fleet) == {"fra01"}, within_s=10)
        answer = running.result()
    assert errors(answer) == {"den01": LOST, "fra01": ""}
    assert any("den01-a was revoked while it traced" in m["message"] for m in answer["messages"])
    fleet.wait_logged("den01-a", "this agent was revoked")
    fleet.stop_agent("den01-a", kill=True)
    refused = fleet.agent_log("den01-a").read_text().count("was revoked")
    fleet.start_agent(DEN)
    log = fleet.agent_log("den01-a")
    wait_until(lambda: log.read_text().count("was revoked") > refused, within_s=20)
    assert errors(fleet.trace(BODY))["den01"] != ""


def test_drained_agent_gets_no_job_until_it_is_undrained(fleet: EnrolledFleet) -> None:
    fleet.wait_attached()
    fleet.command("agent", "drain", "den01-a")
    wait_until(lambda: up(fleet) == {"fra01"}, within_s=10)
    answer = fleet.trace(BODY)
    assert errors(answer) == {"den01": NO_AGENT, "fra01": ""}
    assert any("drained by an operator" in each["message"] for each in answer["messages"])
    assert "state: drained" in fleet.command("agent", "show", "den01/den01-a")
    fleet.command("agent", "undrain", "den01-a")
    wait_until(lambda: up(fleet) == {"den01", "fra01"}, within_s=10)
    assert errors(fleet.trace(BODY)) == {"den01": "", "fra01": ""}


def test_list_has_what_agents_tell_and_their_last_trouble(fleet: EnrolledFleet) -> None:
    fleet.wait_attached()

    def listed() -> dict[str, dict[str, object]]:
        found = json.loads(fleet.command("agent", "list", "--json"))
        return {each["agent_id"]: each for each in found}

    def measured() -> bool:
        return all(each["cpu_millis"] is not None for each in listed().values())

    wait_until(measured, within_s=40)  # after the first heartbeat
    told = listed()["den01-a"]
    assert told["host"] == platform.node()
    assert told["version"] == version("colotrace")
    assert told["families"] == ["ipv4", "ipv6"]
    assert told["attached_since"] is not None
    assert 1 << 20 < cast("int", told["memory_bytes"]) < 1 << 30
    fleet.stop_agent("den01-a", kill=True)
    wait_until(lambda: listed()["den01-a"]["attached_since"] is None, within_s=20)
    left = listed()["den01-a"]
    assert left["last_seen_at"] is not None
    assert left["last_trouble"] == "its stream ended: the connection broke"
    assert "no, seen" in fleet.command("agent", "list")


def test_renamed_agent_goes_on_with_its_job_and_its_certificate(fleet: EnrolledFleet) -> None:
    """Of the same colo or another one. The trace that runs has its row under the name before."""
    fleet.wait_attached()
    dark = {"targets": [fleet.lab.address("dark")], "options": {"wait_time": 3, "max_ttl": 5}}
    with ThreadPoolExecutor() as pool:
        before = sent(fleet)
        running = pool.submit(fleet.trace, dark)
        wait_until(lambda: sent(fleet) > before, within_s=15)  # into the trace
        assert fleet.command("agent", "rename", "den01-a", "den01-b") == "den01/den01-b\n"
        assert fleet.command("colo", "rename", "fra01", "ber01", "--city", "Berlin, DE") == (
            "1 agent\n"
        )
        answer = running.result()
    assert errors(answer) == {"den01": "", "fra01": ""}
    wait_until(lambda: up(fleet) == {"den01", "ber01"}, within_s=10)
    assert errors(fleet.trace(BODY | {"colos": ["den01", "ber01"]})) == {"den01": "", "ber01": ""}
    listed = json.loads(fleet.command("agent", "list", "--json"))
    assert [(each["colo"], each["agent_id"], each["city"]) for each in listed] == [
        ("ber01", "fra01-a", "Berlin, DE"),
        ("den01", "den01-b", "Denver, CO, US"),
    ]
    assert all(each["last_trouble"] is None for each in listed)
    # A restarted agent calls itself as before, and has its certificate of before.
    fleet.stop_agent("fra01-a")
    fleet.start_agent(FRA)
    wait_until(lambda: up(fleet) == {"den01", "ber01"}, within_s=20)
    fleet.command("agent", "revoke", "ber01/fra01-a")
    wait_until(lambda: up(fleet) == {"den01"}, within_s=10)


def test_directory_that_the_agents_user_cannot_reach_is_told_at_the_start(
    fleet: EnrolledFleet,
) -> None:
    fleet.wait_attached()
    fleet.stop_agent("den01-a")
    fleet.directory.chmod(0o700)
    fleet.start_agent(DEN, reachable=False)
    assert fleet.agents["den01-a"].wait(20) == 2
    assert "which cannot use it" in fleet.agent_log("den01-a").read_text()


LIFETIME_S = 7.2


@pytest.fixture
def short(lab: Lab) -> Iterator[EnrolledFleet]:
    """Certificates end within seconds."""
    flags = ("--agent-certificate-hours", str(LIFETIME_S / 3_600))
    flags += ("--requests-per-5-minutes", "100000")  # a fast machine traces more than 1,200 times
    with EnrolledFleet(lab, agents=[DEN], coordinator_flags=flags) as fleet:
        yield fleet


def test_certificates_are_renewed_without_losing_a_job(short: EnrolledFleet) -> None:
    """Beyond the end of the first certificate, one trace after the other."""
    short.wait_attached()
    began = time.monotonic()
    while time.monotonic() - began < 1.5 * LIFETIME_S:
        assert errors(short.trace(BODY)) == {"den01": ""}
        time.sleep(0.05)  # a token has so many requests
    log = short.agent_log("den01-a").read_text()
    assert log.count("certificate renewed") >= 2
    assert log.count('"attached"') == 1
    [listed] = json.loads(short.command("agent", "list", "--json"))
    assert listed["certificate_ends_at"] - listed["enrolled_at"] > LIFETIME_S


def test_host_that_was_off_renews_its_expired_certificate(short: EnrolledFleet) -> None:
    short.wait_attached()
    short.stop_agent("den01-a")
    time.sleep(LIFETIME_S + 1)
    short.start_agent(DEN)
    short.wait_attached()
    assert errors(short.trace(BODY)) == {"den01": ""}


def test_agent_that_cannot_renew_says_when_its_certificate_ended(short: EnrolledFleet) -> None:
    """And what to do; it recovers by itself once it can renew."""
    short.wait_attached()
    short.stop_agent("den01-a")
    file = short.state("den01-a") / "settings.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"join": f"{short.lab.management_address}:1"}))
    short.start_agent(DEN)
    short.wait_logged("den01-a", "the agent's certificate has expired")
    short.wait_logged("den01-a", "renews it at")
    log = short.agent_log("den01-a").read_text()
    assert "it ended at" in log
    assert "certificate not renewed" in log
    assert "Socket closed" not in log
    file.write_text(json.dumps(kept))
    wait_until(lambda: up(short) == {"den01"}, within_s=60)  # its pause is 30 s at first


def test_authority_is_replaced_without_losing_an_agent_or_a_client(short: EnrolledFleet) -> None:
    """Clients that know the former one alone go on until it is retired; agents get both when they
    renew, and stay when it is retired."""
    short.wait_attached()
    former, file = short.trust, short.state("den01-a") / "ca.pem"
    short.command("ca", "rotate")
    with sqlite3.connect(short.directory / "colotrace.sqlite3") as database:
        # Now, instead of in a minute.
        database.execute("UPDATE authorities SET signs_at = ? WHERE id = 2", [int(time.time())])
    database.close()
    wait_until(lambda: file.read_text().count("BEGIN CERTIFICATE") == 2, within_s=20)
    wait_until(lambda: "authority_changed" in (short.directory / "coordinator.log").read_text())
    assert errors(short.trace(BODY)) == {"den01": ""}
    short.trust = ssl.create_default_context(cadata=short.command("ca", "show"))
    assert errors(short.trace(BODY)) == {"den01": ""}
    renewed = short.agent_log("den01-a").read_text().count("certificate renewed")
    wait_until(
        lambda: short.agent_log("den01-a").read_text().count("certificate renewed") > renewed + 1,
        within_s=20,
    )
    assert short.agent_log("den01-a").read_text().count('"attached"') == 1
    short.command("ca", "retire")
    log = short.agent_log("den01-a")
    wait_until(lambda: log.read_text().count('"attached"') == 2, within_s=20)
    assert errors(short.trace(BODY)) == {"den01": ""}
    short.trust = former
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        short.trace(BODY)


def up(fleet: EnrolledFleet) -> set[str]:
    """The colos with an agent."""
    return {colo["name"] for colo in fleet.colos() if colo["state"] == "up"}


def sent(fleet: EnrolledFleet) -> float:
    """Probes that the agents of den01 have told of: an agent that traces does so each second."""
    text = httpx.get(f"{fleet.url}/metrics", verify=fleet.trust).text
    found = re.search(
        r'^colotrace_agent_packets_total\{colo="den01",kind="sent"\} (\S+)', text, re.M
    )
    return float(found[1]) if found else 0.0
