"""What `colotrace-agent join` becomes once the agent has joined."""

import sys
from pathlib import Path

import pytest
from colotrace_agent.commands import start_join
from colotrace_agent.enrolment import client
from colotrace_proto.enrolment import Certified
from colotrace_proto.join_tokens import JoinToken
from colotrace_proto.messages import ColoName

TOKEN = JoinToken(
    address="192.0.2.1:8082", colo=ColoName("den01"), authority=bytes(32), secret=bytes(16)
).encode()


class Enroller:
    """Certifies every agent."""

    clock_off_s = 0.0

    def __init__(self, _: str) -> None:
        """As the real one."""

    def authority(self, _: bytes) -> bytes:
        return b"CA"

    def join(self, _: JoinToken, **__: object) -> Certified:
        return Certified(
            colo="den01",
            city="Denver",
            agent_id="a1",
            certificate="C",
            coordinator="192.0.2.1:8081",
            ends_at=1.0,
        )


def test_running_agent_has_no_token_that_others_could_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither among its arguments (ps), nor in its environment."""
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(client, "Enroller", Enroller)
    monkeypatch.setattr(start_join.os, "execve", lambda *told: became.append(told))
    monkeypatch.setenv("COLOTRACE_JOIN_TOKEN", TOKEN)
    monkeypatch.setenv("LANG", "C.UTF-8")
    start_join.start(TOKEN, state_dir=tmp_path / "state", user="12345")
    [(program, arguments, environment)] = became
    assert program == arguments[0] == sys.executable
    assert arguments[1:5] == ["-P", "-m", "colotrace_agent", "run"]
    assert arguments[5:] == [f"--state-dir={tmp_path}/state", "--user=12345"]
    assert TOKEN not in environment.values()
    assert environment["LANG"] == "C.UTF-8"
