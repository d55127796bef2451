"""What the command line says by itself."""

import asyncio
from pathlib import Path

import pytest
from colotrace_agent import main
from colotrace_agent.commands import startup
from colotrace_agent.errors import StartError
from colotrace_agent.network.sockets import RawSockets
from colotrace_formats.formats import FORMATS
from typer.testing import CliRunner

RUN = ["run", "--coordinator", "127.0.0.1:1", "--colo", "tst01", "--city", "Testville"]
COMMANDS = {"trace": ["trace", "192.0.2.1"], "run": [*RUN, "--insecure"]}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch):
    """Runs a command up to where it would begin its work; what it has said on standard error."""
    monkeypatch.setattr(startup, "open_sockets", lambda _user: (RawSockets({}, {}), None))

    def begin(work) -> int:
        work.close()
        return 0

    monkeypatch.setattr(asyncio, "run", begin)
    monkeypatch.setattr("colotrace_proto.logs.configure", lambda **_: None)

    def run(*words: str) -> str:
        done = CliRunner().invoke(main.app, list(words))
        assert (done.exit_code, done.stdout) == (0, "")
        return done.stderr

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_rate_gives_one_line_of_warning(said, command: str) -> None:
    """It says what the rate replaces, and the consequence."""
    (line,) = said(*COMMANDS[command], "--rate", "20000").splitlines()
    assert line.startswith("colotrace-agent: --rate 20000 replaces the limits")
    assert "routers that limit their answers will seem to lose packets" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_no_warning_without_a_rate(said, command: str) -> None:
    """The default limits hold."""
    assert said(*COMMANDS[command]) == ""


AT_A_BROKER = ["run", "--colo", "tst01", "--city", "Testville", "--insecure"]


def refused(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What is said of it."""
    monkeypatch.setattr(startup, "open_sockets", lambda _user: (RawSockets({}, {}), None))
    done = CliRunner().invoke(main.app, list(words))
    if isinstance(done.exception, StartError):  # `main` prints it
        return str(done.exception)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_broker_replaces_a_coordinator(said) -> None:
    """A coordinator may still be given."""
    assert said(*AT_A_BROKER, "--mqtt", "mqtt://h") == ""
    assert said(*AT_A_BROKER, "--mqtt", "mqtt://h", "--coordinator", "c:1") == ""
    assert said(*AT_A_BROKER, "--mqtt", "mqtts://u:p@h") == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give --coordinator HOST:PORT, or --mqtt URL"),
        (["--coordinator", "c"], "--coordinator c: give HOST:PORT"),
        (["--mqtt", "h:1883"], "give mqtts://[USER:PASSWORD@]HOST[:PORT]"),
        (["--mqtt", "mqtts://h", "--mqtt-ca", "/none"], "/none: No such file"),
    ],
)
def test_error_without_coordinator_and_broker(
    monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    """In one line."""
    assert told in refused(monkeypatch, *AT_A_BROKER, *words)


def test_broker_without_tls_needs_a_flag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only where that was asked for."""
    pem = tmp_path / "x.pem"
    pem.write_text("")
    files = [word for flag in ("cert", "key", "ca") for word in (f"--tls-{flag}", str(pem))]
    words = [word for word in AT_A_BROKER if word != "--insecure"]
    line = refused(monkeypatch, *words, *files, "--mqtt", "mqtt://u:secret@h")
    assert "would be sent unencrypted" in line
    assert "secret" not in line


def test_tags_may_be_repeated_and_written_twice(said) -> None:
    tags = ["--tag", "provider=x", "--tag", "Provider=x", "--tag", "rack=7"]
    assert said(*RUN, "--insecure", *tags) == ""


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        (["provider"], "--tag provider: a tag is KEY=VALUE"),
        (["a=\x1b[2J"], "--tag a=\\x1b[2J: a tag is KEY=VALUE"),
        (["a=1", "a=2"], "--tag a=2: a has another value already"),
        ([f"k{n}=v" for n in range(17)], "--tag: an agent has at most 16 tags"),
    ],
)
def test_unusable_tag(monkeypatch: pytest.MonkeyPatch, tags: list[str], told: str) -> None:
    words = [word for tag in tags for word in ("--tag", tag)]
    assert told in refused(monkeypatch, *RUN, "--insecure", *words)


@pytest.mark.parametrize("location", ["39.74,-104.99", "-33.87, 151.21", "0,0", "-90,+180.0"])
def test_location(said, location: str) -> None:
    """South of the equator, the value begins like a flag."""
    assert said(*RUN, "--insecure", "--location", location) == ""


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("Denver", "--location Denver: a location is LAT,LON in decimal degrees"),
        ("39.74", "--location 39.74: a location is LAT,LON"),
        ("nan,0", "--location nan,0: a location is LAT,LON"),
        ("\x1b[2J", "--location \\x1b[2J: a location is LAT,LON"),
        ("104.99,39.74", "--location 104.99,39.74: the latitude 104.99 is not within -90 and 90"),
        ("39.74,-181", "--location 39.74,-181: the longitude -181 is not within -180 and 180"),
    ],
)
def test_unusable_location(monkeypatch: pytest.MonkeyPatch, location: str, told: str) -> None:
    assert told in refused(monkeypatch, *RUN, "--insecure", "--location", location)


def test_unknown_format_lists_the_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refused(monkeypatch, *COMMANDS["trace"], "--format", "xml")
    assert line == f"colotrace-agent: --format xml: one of {', '.join(FORMATS)}"


def test_json_beside_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refused(monkeypatch, *COMMANDS["trace"], "--format", "csv", "--json")
    assert line == "colotrace-agent: --json and --format csv: give one of them"


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["json", "both"])
def test_format_json_is_what_json_is(said, flags: tuple[str, ...]) -> None:
    assert said(*COMMANDS["trace"], "--format", "json", *flags) == ""


def test_help_names_every_format() -> None:
    shown = CliRunner().invoke(main.app, ["trace", "--help"], env={"COLUMNS": "300"}).stdout
    *names, last = FORMATS
    assert f"{', '.join(names)} or {last}" in " ".join(shown.split())


def test_two_families_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not both" in refused(monkeypatch, "trace", "-4", "-6", "192.0.2.1")
