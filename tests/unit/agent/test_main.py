"""What the command line says by itself."""

import pytest
from colotrace_agent import main
from colotrace_agent.network.sockets import RawSockets
from typer.testing import CliRunner

RUN = ["run", "--coordinator", "127.0.0.1:1", "--colo", "tst01", "--city", "Testville"]
COMMANDS = {"trace": ["trace", "192.0.2.1"], "run": [*RUN, "--insecure"]}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch):
    """Runs a command up to where it would begin its work; what it has said on standard error."""
    monkeypatch.setattr(main, "_sockets_and_nothing_more", lambda: RawSockets({}, {}))

    def begin(work) -> int:
        work.close()
        return 0

    monkeypatch.setattr(main.asyncio, "run", begin)
    monkeypatch.setattr("colotrace_agent.log.set_up", lambda: None)

    def run(*words: str) -> str:
        done = CliRunner().invoke(main.app, list(words))
        assert (done.exit_code, done.stdout) == (0, "")
        return done.stderr

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_a_rate_is_warned_of_in_one_line(said, command: str) -> None:
    """What it replaces, and what comes of it."""
    (line,) = said(*COMMANDS[command], "--rate", "20000").splitlines()
    assert line.startswith("colotrace-agent: --rate 20000 replaces the limits")
    assert "routers that limit their answers will seem to lose packets" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_rate_nothing_is_said(said, command: str) -> None:
    """The limits hold by default."""
    assert said(*COMMANDS[command]) == ""
