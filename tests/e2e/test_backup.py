"""A coordinator is lost, and what it had comes back from a backup that was made under load."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
from fleet import AgentSpec
from fleet.enrolled import EnrolledFleet
from lab import Lab

DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
BODY = {"targets": ["web.lab.example"]}


@pytest.fixture
def fleet(lab: Lab) -> Iterator[EnrolledFleet]:
    flags = ("--requests-per-5-minutes", "100000")
    with EnrolledFleet(lab, agents=[DEN], coordinator_flags=flags) as fleet:
        yield fleet


def measured(fleet: EnrolledFleet) -> str:
    """The path of a new measurement."""
    answer = httpx.post(
        fleet.path(), headers=fleet.headers(), json=BODY, timeout=30, verify=fleet.trust
    )
    assert answer.status_code == 200
    return str(answer.headers["Location"])


def test_restored_coordinator_knows_agents_tokens_and_measurements(fleet: EnrolledFleet) -> None:
    """The agent attaches again without joining anew. Requests during the backup are answered."""
    fleet.wait_attached()
    kept = measured(fleet)
    ended, traced = threading.Event(), []

    def load() -> None:
        while not ended.is_set():
            traced.append(measured(fleet))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for each in threads:
        each.start()
    file = fleet.directory / "backup"
    try:
        for _ in range(3):
            fleet.command("backup", str(file))
    finally:
        ended.set()
        for each in threads:
            each.join()
    assert traced
    fleet.stop_coordinator(kill=True)
    for each in fleet.directory.glob("colotrace.sqlite3*"):
        each.unlink()
    fleet.command("restore", str(file))
    fleet.start_coordinator()
    fleet.wait_attached()
    url = f"{fleet.url}{kept}"
    shown = httpx.get(url, headers=fleet.headers(), timeout=10, verify=fleet.trust).json()
    [target] = shown["result"]
    assert [row["error"] for row in target["colos"]] == [""]
    measured(fleet)
    with pytest.raises(Exception, match=r"process \d+ uses .* stop the coordinator first"):
        fleet.command("restore", str(file), "--replace")
