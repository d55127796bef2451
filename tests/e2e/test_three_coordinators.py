"""Three coordinators with one PostgreSQL: enrol at one, attach at another, revoke at a third."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from eventually import wait_until
from fleet import AgentSpec
from fleet.asking import slow
from fleet.enrolled import EnrolledFleet
from fleet.postgresql import postgresql_server
from lab import Lab

DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
FRA = AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a")
LOST = "Could not gather traceroute data: Code 2"
WITHIN_S = 5.0


@pytest.fixture
def three(lab: Lab, tmp_path: Path) -> Iterator[list[EnrolledFleet]]:
    """They have the secret of the CA's key in a file each, and no agent yet."""
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_server())
        fleets: list[EnrolledFleet] = []
        for number in range(3):
            secret = tmp_path / f"secret{number}"
            secret.write_text("0123456789abcdef" * 4)
            flags = ("--ca-secret-file", str(secret))
            first = fleets[0] if fleets else None
            fleets.append(
                stack.enter_context(
                    EnrolledFleet(
                        lab, agents=[], coordinator_flags=flags, beside=first, database=url
                    )
                )
            )
        yield fleets


def attach(fleet: EnrolledFleet, spec: AgentSpec, *, at: EnrolledFleet) -> None:
    """Have an agent enrol at one coordinator, and renew and attach at another one: as if the name
    of the first led to that now."""
    fleet.join_only(spec)
    start(fleet, spec, at=at)


def start(fleet: EnrolledFleet, spec: AgentSpec, *, at: EnrolledFleet) -> None:
    file = fleet.state(spec.agent_id) / "settings.json"
    led = {"coordinator": at.grpc, "join": at.join}
    file.write_text(json.dumps(json.loads(file.read_text()) | led))
    fleet.start_agent(spec)


def test_agent_of_one_is_revoked_at_another_while_it_traces_for_a_third(
    three: list[EnrolledFleet],
) -> None:
    """The client gets an answer, with what the other colo has found."""
    first, second, third = three
    for spec in (DEN, FRA):
        attach(first, spec, at=second)
    wait_until(lambda: up(second) == {"den01", "fra01"}, within_s=20)
    dark = slow(first.lab, multipath=True)  # the command takes its time on a busy machine
    with ThreadPoolExecutor() as pool:
        running = pool.submit(second.trace, dark)
        time.sleep(1)  # into the trace
        third.command("agent", "revoke", "den01/den01-a")
        began = time.monotonic()
        wait_until(lambda: up(second) == {"fra01"}, within_s=WITHIN_S)
        answer = running.result()
    assert time.monotonic() - began < 20
    [target] = answer["result"]
    assert {row["colo"]["name"]: row["error"] for row in target["colos"]} == {
        "den01": LOST,
        "fra01": "",
    }
    assert any("den01-a was revoked while it traced" in m["message"] for m in answer["messages"])
    # Nor does it attach anywhere else.
    first.wait_logged("den01-a", "this agent was revoked")
    first.stop_agent("den01-a", kill=True)
    before = refusals(first)
    start(first, DEN, at=third)
    wait_until(lambda: refusals(first) > before)


def refusals(fleet: EnrolledFleet) -> int:
    """How often the agent that was revoked has logged that it could not attach."""
    lines = fleet.agent_log(DEN.agent_id).read_text().splitlines()
    return sum("not attached" in line and "was revoked" in line for line in lines)


def up(fleet: EnrolledFleet) -> set[str]:
    """The colos with an agent."""
    return {colo["name"] for colo in fleet.colos() if colo["state"] == "up"}
