"""`@-1`: the last measurements, remembered in a file."""

import json
import os
from pathlib import Path

import pytest


def identity(number):
    return f"{number:032x}"


@pytest.fixture
def trace(api, run, envelope, colo_row):
    """Traces once; the coordinator gives the measurement this number."""

    def trace(number, *words, colos=("den01",), env=None):
        rows = [{"target": "192.0.2.1", "colos": [colo_row(name) for name in colos]}]
        api.answers(envelope(rows), headers={"Measurement-Id": identity(number)})
        result = run("trace", "192.0.2.1", *words, env=env)
        assert result.exit_code == 0, result.stderr
        return json.loads(api.asked[-1][3])

    return trace


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state" / "colotrace"


def shown(run, api, word, env=None):
    """The id that `show` asks for."""
    before = len(api.asked)
    result = run("open", word, env=env)
    assert len(api.asked) == before
    return result.stdout.strip().rpartition("/")[2]


def test_last_ones_are_named_by_number(api, run, trace):
    for number in (1, 2, 3):
        trace(number)
    assert [shown(run, api, f"@-{n}") for n in (1, 2, 3)] == [identity(n) for n in (3, 2, 1)]
    result = run("show", "@-4")
    assert result.exit_code == 2
    assert "only 3 are remembered" in result.stderr


def test_from_the_last_one_takes_its_colos(api, trace):
    """Beside other names; each colo once."""
    trace(1, colos=("den01", "sin01"))
    assert trace(2, "--from", "sin01,@-1,fra")["colos"] == ["sin01", "den01", "fra"]


def test_nothing_remembered_is_told(api, run):
    result = run("trace", "192.0.2.1", "--from", "@-1")
    assert result.exit_code == 2
    assert "none is remembered" in result.stderr
    assert api.asked == []


def test_accounts_and_profiles_are_kept_apart(api, run, trace):
    trace(1)
    trace(2, env={"COLOTRACE_ACCOUNT": "other"})
    assert shown(run, api, "@-1") == identity(1)
    assert shown(run, api, "@-1", env={"COLOTRACE_ACCOUNT": "other"}) == identity(2)


def test_coordinators_of_a_profile_are_one(api, run, trace):
    """Each of them has the measurements of the others."""
    trace(1)
    assert shown(run, api, "@-1", env={"COLOTRACE_URL": "https://other.example"}) == identity(1)


def test_file_is_bounded_and_private(trace, state, monkeypatch):
    monkeypatch.setattr("colotrace_cli.recent.MOST", 3)
    for number in range(5):
        trace(number)
    (file,) = state.iterdir()
    assert [each["id"] for each in json.loads(file.read_bytes())] == [
        identity(n) for n in (2, 3, 4)
    ]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b'[{"id": 1}]'])
def test_damaged_file_is_written_anew(api, run, trace, state, content):
    trace(1)
    (file,) = state.iterdir()
    file.write_bytes(content)
    trace(2)
    assert shown(run, api, "@-1") == identity(2)
    assert [each.name for each in state.iterdir()] == [file.name]


def test_directory_that_cannot_be_written_is_not_fatal(trace, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a directory")
    trace(1, env={"XDG_STATE_HOME": str(blocked)})


def test_no_home_directory_is_not_fatal(trace, monkeypatch):
    def home(*_):
        raise RuntimeError

    monkeypatch.setattr(Path, "home", home)
    trace(1, env={"XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""})


def test_full_disk_is_not_fatal_and_leaves_no_part(trace, state, monkeypatch):
    trace(1)

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    trace(2)
    assert len(list(state.iterdir())) == 1
