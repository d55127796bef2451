"""What `colotrace-agent join` becomes once the agent has joined."""

import os
import sys
from pathlib import Path

import pytest
from colotrace_agent.commands import start_join, start_run
from colotrace_agent.enrolment import client
from colotrace_agent.enrolment.state import Options, StateDirectory
from colotrace_agent.errors import StartError
from colotrace_agent.host import service
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


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of tests let only their owner pass."""
    monkeypatch.setattr(StateDirectory, "check_access_of", lambda *_: None)


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


def test_agent_is_run_by_the_launcher_that_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package's launcher knows where its modules are."""
    became: list[tuple[str, list[str], dict[str, str]]] = []
    launcher = tmp_path / "colotrace-agent"
    launcher.write_text("")
    launcher.chmod(0o755)
    monkeypatch.setattr(client, "Enroller", Enroller)
    monkeypatch.setattr(start_join.os, "execve", lambda *told: became.append(told))
    monkeypatch.setattr(sys, "argv", [str(launcher), "join", TOKEN])
    start_join.start(TOKEN, state_dir=tmp_path / "state", user="12345")
    [(program, arguments, _)] = became
    assert program == str(launcher)
    assert arguments == [program, "run", f"--state-dir={tmp_path}/state", "--user=12345"]


class Unit:
    """In place of `host.service`: a host with the unit."""

    UNIT, SETTINGS = service.UNIT, service.SETTINGS
    ServiceError = service.ServiceError

    def __init__(self, *, other: str = "", fault: str = "") -> None:
        self._other, self._fault = other, fault
        self.started = 0

    def is_installed(self) -> bool:
        return True

    def other_identity(self) -> str:
        return self._other

    def start(self) -> None:
        self.started += 1
        if self._fault:
            raise service.ServiceError(self._fault)


def join_with(unit: Unit, directory: Path, monkeypatch: pytest.MonkeyPatch, **flags: str) -> int:
    """The exit code of `join` into the default directory, on a host with the unit."""
    monkeypatch.setattr(client, "Enroller", Enroller)
    monkeypatch.setattr(start_join, "service", unit)
    monkeypatch.setenv("STATE_DIRECTORY", str(directory))
    with pytest.raises(SystemExit) as ended:
        start_join.start(TOKEN, **flags)
    return ended.value.code or 0


def test_unit_is_started_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = Unit()
    assert join_with(unit, tmp_path / "state", monkeypatch) == 0
    assert unit.started == 1
    assert f"{service.UNIT} is enabled, and active" in capsys.readouterr().err
    assert StateDirectory(tmp_path / "state").is_enrolled


def test_unit_that_does_not_start_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert join_with(Unit(fault="it failed"), tmp_path / "state", monkeypatch) == 1
    assert "the agent does not run: it failed; see journalctl" in capsys.readouterr().err


def test_unit_of_another_identity_is_refused_before_the_token_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = Unit(other="COLOTRACE_COLO")
    assert join_with(unit, tmp_path / "state", monkeypatch) == 2
    assert join_with(Unit(), tmp_path / "state", monkeypatch, user="12345") == 2
    said = capsys.readouterr().err
    assert "has COLOTRACE_COLO" in said
    assert "--user: " in said
    assert not (tmp_path / "state").exists()


def enrolled_by(tmp_path: Path, token: str) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    start_join.enrol(state, token, agent_id="", options=Options(), user="12345")
    return state


def test_directory_out_of_reach_is_refused_before_the_token_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StartError("the agent runs as another user, which cannot use it")

    def ask(_: str) -> None:
        raise AssertionError("the coordinator is asked")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(StateDirectory, "prepare", lambda *_: None)
    monkeypatch.setattr(StateDirectory, "check_access_of", refuse)
    monkeypatch.setattr(client, "Enroller", ask)
    with pytest.raises(StartError, match="cannot use it"):
        start_join.start(TOKEN, state_dir=tmp_path / "state")


@pytest.mark.parametrize("line", [TOKEN, f"colotrace-agent join {TOKEN}\n"])
def test_token_is_read_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Which holds the token alone, or what `agent enroll` printed."""
    monkeypatch.setattr(client, "Enroller", Enroller)
    file = tmp_path / "token"
    file.write_text(line)
    assert enrolled_by(tmp_path, f"@{file}").settings().agent_id == "a1"


def test_missing_file_of_a_token_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        enrolled_by(tmp_path, f"@{tmp_path}/none")
    assert ended.value.code == 2
    assert f"{tmp_path}/none cannot be read" in capsys.readouterr().err


def test_run_joins_by_its_token_only_if_no_agent_has_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container starts by the same command each time."""
    monkeypatch.setattr(client, "Enroller", Enroller)
    monkeypatch.setattr(start_run.startup, "open_sockets", lambda _: pytest.fail("is enrolled"))
    enrolled_by(tmp_path, TOKEN)
    before = (tmp_path / "state" / "settings.json").read_bytes()
    with pytest.raises(pytest.fail.Exception):
        start_run.start(state_dir=tmp_path / "state", join_token=TOKEN, agent_id="a1")
    assert (tmp_path / "state" / "settings.json").read_bytes() == before
    with pytest.raises(pytest.fail.Exception):
        start_run.start(state_dir=tmp_path / "new", join_token=TOKEN, user="12345")
    assert StateDirectory(tmp_path / "new").is_enrolled


def test_join_token_of_run_needs_a_directory(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        start_run.start(join_token=TOKEN)
    assert "--join-token needs --state-dir" in capsys.readouterr().err
