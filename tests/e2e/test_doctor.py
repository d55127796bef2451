"""`colotrace-coordinator doctor` beside a running coordinator with an enrolled agent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import wait_until
from fleet import AgentSpec
from fleet.enrolled import EnrolledFleet
from lab import Lab

PROGRAM = Path(sys.executable).parent / "colotrace-coordinator"
DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")


@pytest.fixture(scope="module")
def fleet(lab: Lab) -> Iterator[EnrolledFleet]:
    """As installed: the coordinator is known by its command line."""
    with EnrolledFleet(lab, agents=[DEN], installed=True) as fleet:
        fleet.wait_attached()
        yield fleet


def doctor(fleet: EnrolledFleet, *words: str) -> dict[str, dict[str, Any]]:
    """The findings by name, with the settings of the coordinator and these."""
    event = next(
        json.loads(line)
        for line in (fleet.directory / "coordinator.log").read_text().splitlines()
        if '"listening"' in line
    )
    places = [f"--{word}={event[word]}" for word in ("http", "grpc", "join")]
    argv = [PROGRAM, "doctor", "--json", "--data", fleet.directory, *places]
    argv += ["--name", fleet.lab.management_address, "--resolver", fleet.lab.resolver, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["ok"] == (done.returncode == 0), said
    return {each["check"]: each for each in said["findings"]}


def test_running_coordinator_is_healthy(fleet: EnrolledFleet) -> None:
    """And it goes on without a gap."""
    found = doctor(fleet)
    assert [each for each in found.values() if each["status"] == "FAIL"] == []
    for check in (
        "coordinator",
        "agents",
        f"name {fleet.lab.management_address}",
        "port of --http",
        "port of --grpc",
        "port of --join",
        "certificate at --http",
        "certificate at --grpc",
        "certificate at --join",
        "database",
        "CA's key",
    ):
        assert found[check]["status"] == "OK", found[check]
    assert found["agents"]["detail"] == "1 known, 1 attached"
    log = (fleet.directory / "coordinator.log").read_text()
    assert '"level":"error"' not in log.replace(" ", "")


def test_name_that_the_certificate_lacks(fleet: EnrolledFleet) -> None:
    found = doctor(fleet, "--name", "localhost.example")
    finding = found["certificate at --grpc"]
    assert finding["status"] == "FAIL"
    assert "is not for localhost.example" in finding["detail"]
    assert "restart" in finding["remedy"]


def test_secret_of_another_authority(fleet: EnrolledFleet, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 40)
    finding = doctor(fleet, "--ca-secret-file", str(tmp_path / "secret"))["CA's key"]
    assert finding["status"] == "FAIL"
    (tmp_path / "secret").unlink()
    finding = doctor(fleet, "--ca-secret-file", str(tmp_path / "secret"))["CA's key"]
    assert "its secret is missing" in finding["detail"]
    assert not (tmp_path / "secret").exists()


def test_secret_that_others_can_read(fleet: EnrolledFleet) -> None:
    file = fleet.directory / "ca.secret"
    file.chmod(0o644)
    finding = doctor(fleet)["CA's secret"]
    file.chmod(0o600)
    assert (finding["status"], finding["remedy"]) == ("WARN", f"chmod 600 {file}")


def test_agent_that_is_not_attached(fleet: EnrolledFleet) -> None:
    """The last test: the agent is gone."""
    fleet.stop_agent(DEN.agent_id)
    wait_until(lambda: "attached agents" in doctor(fleet), within_s=30)
    assert "none is attached: den01/den01-a" in doctor(fleet)["attached agents"]["detail"]
