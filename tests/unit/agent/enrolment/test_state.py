"""What an enrolled agent keeps."""

import os
import stat
from pathlib import Path

import pytest
from colotrace_agent.enrolment.state import Options, StateDirectory, settings_of
from colotrace_agent.errors import StartError
from colotrace_agent.host.accounts import Account
from colotrace_proto.enrolment import Certified

CERTIFIED = Certified(
    colo="den01",
    city="Denver, CO, US",
    agent_id="a1",
    certificate="CERTIFICATE\n",
    coordinator="trace.example.net:8081",
    ends_at=2_000.0,
)
SETTINGS = settings_of(
    CERTIFIED,
    join="trace.example.net:8082",
    now=1_000.0,
    options=Options(tags=["provider=x"], allow_private=True),
)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "a" / "b")
    state.prepare(None)
    return state


def test_agent_is_read_as_it_was_kept(state: StateDirectory) -> None:
    assert not state.is_enrolled
    state.keep_authority(b"AUTHORITY\n")
    state.keep_pending_key(b"KEY\n")
    assert state.pending_key() == b"KEY\n"
    state.keep(CERTIFIED, b"KEY\n", settings=SETTINGS)
    assert state.is_enrolled
    assert state.settings() == SETTINGS
    assert state.settings().renew_at == 1_500
    assert state.agent.read_bytes() == b"KEY\nCERTIFICATE\n"
    assert state.authority.read_bytes() == b"AUTHORITY\n"
    assert state.pending_key() is None


def test_others_can_read_nothing(state: StateDirectory) -> None:
    state.keep(CERTIFIED, b"KEY\n", settings=SETTINGS)
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in state.path.iterdir()} == {0o600}


def test_renewal_replaces_whole_files(state: StateDirectory) -> None:
    """Who has the old file open reads it on."""
    state.keep(CERTIFIED, b"KEY\n", settings=SETTINGS)
    with state.agent.open("rb") as before:
        state.keep(CERTIFIED, b"OTHER KEY\n", settings=SETTINGS)
        assert before.read() == b"KEY\nCERTIFICATE\n"
    assert state.agent.read_bytes() == b"OTHER KEY\nCERTIFICATE\n"


def test_directory_without_an_agent_names_the_remedy(state: StateDirectory) -> None:
    with pytest.raises(StartError, match="paste the line that colotrace-coordinator agent enroll"):
        state.settings()


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[" * 10_000, '{"version": 2}', "\xff"],
)
def test_damaged_settings_are_told(state: StateDirectory, text: str) -> None:
    (state.path / "settings.json").write_text(text)
    with pytest.raises(StartError, match=r"settings\.json"):
        state.settings()


@pytest.mark.parametrize(
    "changed", [{"colo": "x"}, {"agent_id": "a b"}, {"join": "nowhere"}, {"coordinator": ""}]
)
def test_settings_of_another_form_are_told(state: StateDirectory, changed: dict[str, str]) -> None:
    from msgspec.structs import replace

    state.keep(CERTIFIED, b"KEY\n", settings=replace(SETTINGS, **changed))
    with pytest.raises(StartError, match="or damaged"):
        state.settings()


def test_file_in_the_directorys_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="give a directory that this user may write"):
        StateDirectory(tmp_path / "file").prepare(None)


def test_nobody_else_can_write_a_directory_that_was_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    StateDirectory(tmp_path).prepare(None)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_links_in_the_directory_lead_nowhere_else(state: StateDirectory, tmp_path: Path) -> None:
    """The agent's user owns the directory in which root writes."""
    other = tmp_path / "other"
    other.write_text("of another program")
    for name in ("agent.pem.part", "agent.pem", "new.key"):
        (state.path / name).symlink_to(other)
    assert state.pending_key() is None
    state.keep(CERTIFIED, b"KEY\n", settings=SETTINGS)
    assert other.read_text() == "of another program"
    assert not state.agent.is_symlink()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes the owner: needs root")


@needs_root
def test_root_gives_away_no_directory_of_others(tmp_path: Path) -> None:
    account = Account(12_345, 54_321)
    used, link, foreign = tmp_path / "used", tmp_path / "link", tmp_path / "foreign"
    used.mkdir()
    (used / "file").touch()
    link.symlink_to(used)
    foreign.mkdir()
    os.chown(foreign, 999, 999)
    for path, words in [
        (used, "has other files"),
        (link, "is a symbolic link"),
        (foreign, "belongs to another user"),
    ]:
        with pytest.raises(StartError, match=words):
            StateDirectory(path).prepare(account)
    assert [path.stat().st_uid for path in (used, foreign)] == [0, 999]


@needs_root
def test_directory_that_the_agents_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    """Its own mode would let it in, the one above does not."""
    (tmp_path / "shut").mkdir(mode=0o700)
    state = StateDirectory(tmp_path / "shut" / "state")
    state.prepare(Account(12_345, 54_321))
    with pytest.raises(StartError, match="runs as user 12345, which cannot use it"):
        state.check_access_of(Account(12_345, 54_321))


@needs_root
def test_files_belong_to_the_user_that_the_agent_runs_as(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepare(Account(12_345, 54_321))
    state.keep(CERTIFIED, b"KEY\n", settings=SETTINGS)
    for each in (state.path, *state.path.iterdir()):
        assert (each.stat().st_uid, each.stat().st_gid) == (12_345, 54_321)
