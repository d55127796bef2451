"""`colotrace-agent check` on a probe host that has joined, with real faults on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.authority.identity import AgentIdentity, IdentityId
from colotrace_proto.enrolment import JOIN_ANEW
from colotrace_proto.messages import AgentId, ColoName
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from fleet import AgentSpec, Broker
from fleet.enrolled import EnrolledFleet
from lab import Lab

DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
PROGRAM = Path(sys.executable).parent / "colotrace-agent"
WAY = ("coordinator's name", "connection", "coordinator's certificate", "coordinator", "renewal")

Findings = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def fleet(lab: Lab) -> Iterator[EnrolledFleet]:
    with EnrolledFleet(lab, agents=[DEN]) as fleet:
        fleet.wait_attached()
        yield fleet


def check(fleet: EnrolledFleet, *words: str | Path, before: tuple[str, ...] = ()) -> Findings:
    """The findings by name, with the agent's directory or other flags."""
    given = words or ("--state-dir", fleet.state(DEN.agent_id))
    argv = [*before, PROGRAM, "check", "--json", *given]
    done = fleet.lab.run("den01", argv, timeout_s=60)
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["ok"] == (done.returncode == 0), said
    return {each["check"]: each for each in said["findings"]}


def settings(fleet: EnrolledFleet) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((fleet.state(DEN.agent_id) / "settings.json").read_text())
    return found


@contextmanager
def changed(file: Path, content: bytes) -> Iterator[None]:
    """A file with another content, of the same owner."""
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def test_joined_host_is_healthy(fleet: EnrolledFleet) -> None:
    """And its agent stays attached, with the same stream."""
    found = check(fleet)
    for name in (
        *WAY,
        "state directory",
        "this agent's certificate",
        "clock, and the coordinator's",
        "path MTU",
        "short trace",
    ):
        assert found[name]["status"] == "OK", found[name]
    assert fleet.lab.management_address in found["coordinator's name"]["detail"]
    assert fleet.agent_log(DEN.agent_id).read_text().count('"attached"') == 1


def test_plain_host_is_checked_alone(fleet: EnrolledFleet) -> None:
    """Without a state directory or flags."""
    assert "coordinator" not in check(fleet, "--user", "65533")


def test_closed_port(fleet: EnrolledFleet) -> None:
    found = check(fleet, "--coordinator", f"{fleet.lab.management_address}:9", "--insecure")
    assert found["connection"]["status"] == "FAIL"
    assert "Connection refused" in found["connection"]["detail"]
    assert "coordinator" not in found


def test_unknown_name(fleet: EnrolledFleet) -> None:
    found = check(fleet, "--coordinator", "nowhere.lab.example:8081", "--insecure")
    assert found["coordinator's name"]["status"] == "FAIL"


def test_port_that_is_no_coordinator(fleet: EnrolledFleet) -> None:
    """The listener of enrolments speaks TLS, and not gRPC."""
    state = fleet.state(DEN.agent_id)
    files = ("--tls-cert", state / "agent.pem", "--tls-key", state / "agent.pem")
    join = settings(fleet)["join"]
    found = check(fleet, "--coordinator", join, *files, "--tls-ca", state / "ca.pem")
    assert found["coordinator"]["status"] == "FAIL"


def test_coordinator_without_tls_on_this_side(fleet: EnrolledFleet) -> None:
    found = check(fleet, "--coordinator", settings(fleet)["coordinator"], "--insecure")
    assert found["coordinator"]["status"] == "FAIL"
    assert "both sides use TLS" in found["coordinator"]["remedy"]


def test_name_that_the_certificate_lacks(fleet: EnrolledFleet) -> None:
    kept = settings(fleet)
    port = kept["coordinator"].rpartition(":")[2]
    file = fleet.state(DEN.agent_id) / "settings.json"
    other = next(address for address in (f"[::ffff:{fleet.lab.management_address}]",) if address)
    with changed(file, json.dumps(kept | {"coordinator": f"{other}:{port}"}).encode()):
        found = check(fleet)
    finding = found["coordinator's certificate"]
    assert finding["status"] == "FAIL"
    assert "is not for" in finding["detail"]
    assert "--name" in finding["remedy"]


def test_coordinator_with_another_authority(fleet: EnrolledFleet) -> None:
    other = Authority.create()
    with changed(fleet.state(DEN.agent_id) / "ca.pem", other.certificate):
        found = check(fleet)
    assert "another CA" in found["coordinator's certificate"]["detail"]
    assert found["renewal"]["status"] == "WARN"


def pair(lab_authority: Authority) -> bytes:
    """A key with a certificate of an agent."""
    key = ec.generate_private_key(ec.SECP256R1())
    identity = AgentIdentity(IdentityId("0" * 16), ColoName("den01"), AgentId("den01-a"))
    certificate, _ = lab_authority.for_agent(identity, key.public_key(), lifetime_s=86_400)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate


def test_agents_certificate_that_has_ended(fleet: EnrolledFleet) -> None:
    old = Authority.create(clock=lambda: time.time() - 3 * 86_400)
    with changed(fleet.state(DEN.agent_id) / "agent.pem", pair(old)):
        found = check(fleet)
    assert found["this agent's certificate"]["status"] == "FAIL"
    assert "has ended 2 days ago" in found["this agent's certificate"]["detail"]
    assert found["coordinator"]["status"] == "FAIL"
    assert "does not take this agent's certificate" in found["coordinator"]["detail"]


def test_renewal_that_is_late(fleet: EnrolledFleet) -> None:
    kept = settings(fleet)
    late = kept | {"certified_at": time.time() - 40 * 86_400, "ends_at": time.time() + 86_400}
    with changed(fleet.state(DEN.agent_id) / "settings.json", json.dumps(late).encode()):
        finding = check(fleet)["this agent's certificate"]
    assert finding["status"] == "WARN"
    assert "its renewal is" in finding["detail"]


def test_directory_that_others_can_read(fleet: EnrolledFleet) -> None:
    state = fleet.state(DEN.agent_id)
    state.chmod(0o755)
    finding = check(fleet)["state directory"]
    state.chmod(0o700)
    assert (finding["status"], "mode 755" in finding["detail"]) == ("WARN", True)


def test_directory_of_another_user(fleet: EnrolledFleet) -> None:
    found = check(fleet, "--state-dir", fleet.state(DEN.agent_id), "--user", "4711")
    assert found["state directory"]["status"] == "FAIL"
    assert "the agent runs as 4711" in found["state directory"]["detail"]


def test_host_that_has_not_joined(fleet: EnrolledFleet, tmp_path: Path) -> None:
    found = check(fleet, "--state-dir", tmp_path)
    assert found["settings"]["status"] == "FAIL"
    assert "no agent has joined here" in found["settings"]["detail"]


def ip(fleet: EnrolledFleet, *words: str) -> str:
    done = fleet.lab.run("den01", ["ip", *words])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_smaller_mtu_is_a_warning(fleet: EnrolledFleet) -> None:
    address = fleet.lab.management_address
    way = ip(fleet, "route", "get", address).split()
    via = ["via", way[way.index("via") + 1]] if "via" in way else []
    route = [f"{address}/32", *via, "dev", way[way.index("dev") + 1], "mtu", "1280"]
    ip(fleet, "route", "add", *route)
    try:
        found = check(fleet)
    finally:
        ip(fleet, "route", "del", *route)
    assert found["path MTU"]["status"] == "WARN"
    assert "1280" in found["path MTU"]["detail"]
    assert found["coordinator"]["status"] == "OK"


BLACK_HOLE = """table inet hole {
  chain out { type filter hook output priority 0; meta length > SIZE drop; };
}"""


# The handshake with this agent's certificate takes 1,497 bytes.
@pytest.mark.parametrize(
    ("size", "name", "words"),
    [(1498, "path MTU", "full packets get lost"), (1450, "coordinator", "(path MTU)")],
)
def test_path_that_swallows_full_packets(
    fleet: EnrolledFleet, size: int, name: str, words: str
) -> None:
    """As a tunnel does whose ICMP errors a firewall drops."""
    nft = fleet.lab.command("den01", ["nft", "-f", "-"])
    env = fleet.lab.environment()
    hole = BLACK_HOLE.replace("SIZE", str(size))
    subprocess.run(nft, input=hole, text=True, check=True, env=env)
    try:
        found = check(fleet)
    finally:
        subprocess.run(nft, input="delete table inet hole", text=True, check=True, env=env)
    assert found["connection"]["status"] == "OK"
    assert found[name]["status"] == "FAIL"
    assert words in found[name]["detail"]
    assert "tcp_mtu_probing" in found[name]["remedy"]


SHIFTED = """import sys, time
real, ahead_s = time.time, float(sys.argv[1])
time.time = lambda: real() + ahead_s
sys.argv = ["colotrace-agent", *sys.argv[2:]]
from colotrace_agent.main import main
main()
"""


def test_clock_that_is_ahead(fleet: EnrolledFleet) -> None:
    """An hour: the finding says so, and everything works. The clock is that of the program."""
    state = ["--state-dir", str(fleet.state(DEN.agent_id))]
    argv = [sys.executable, "-c", SHIFTED, "3600", "check", "--json", *state]
    found = json.loads(fleet.lab.run("den01", argv, timeout_s=60).stdout)
    finding = next(each for each in found["findings"] if each["check"].startswith("clock, and"))
    assert finding["status"] == "WARN"
    assert "60 minutes ahead of the coordinator's" in finding["detail"]


def test_broker(fleet: EnrolledFleet, broker: Broker) -> None:
    """It lets everybody in; nobody listens at the other port."""
    given = ("--insecure", "--colo", "den01", "--mqtt")
    found = check(fleet, *given, broker.url)
    assert found[f"broker {broker.url}"]["status"] == "OK", found
    other = f"mqtt://{fleet.lab.management_address}:9"
    finding = check(fleet, *given, other)[f"broker {other}"]
    assert finding["status"] == "FAIL"
    assert "Connection refused" in finding["detail"]


def test_revoked_agent(fleet: EnrolledFleet) -> None:
    """Its own certificate is still valid, and the coordinator's is."""
    assert "enrolment" not in check(fleet)
    fleet.command("agent", "revoke", f"den01/{DEN.agent_id}")
    fleet.wait_logged(DEN.agent_id, "this agent was revoked")
    found = check(fleet)
    assert found["enrolment"]["status"] == "FAIL"
    assert found["enrolment"]["detail"] == "this agent was revoked"
    assert JOIN_ANEW in found["enrolment"]["remedy"]


def test_stopped_coordinator(fleet: EnrolledFleet) -> None:
    """The last test."""
    fleet.stop_coordinator()
    found = check(fleet)
    assert found["connection"]["status"] == "FAIL"
    assert found["renewal"]["status"] == "WARN"
