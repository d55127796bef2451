"""The shell's completion: from the coordinator, and silent about what is missing."""

import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-m", "colotrace_cli"]
MEASUREMENT = "0198c0de" * 4


@pytest.fixture
def complete(api, environment, tmp_path):
    """What bash is offered for a line."""

    def complete(line, **env):
        words = line.split(" ")
        known = environment | {
            "_COLOTRACE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "XDG_CONFIG_HOME": str(tmp_path),
            "PATH": "/usr/bin",
        }
        done = subprocess.run(
            COMMAND, env=known | env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stderr == ""
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("", ["@-1", "den", "den01", "sin", "sin01"]),
        ("d", ["den", "den01"]),
        ("den01,s", ["den01,sin", "den01,sin01"]),
        ("den,d", ["den,den01"]),
        ("x", []),
    ],
)
def test_colos_are_completed_after_the_last_comma(api, complete, envelope, begun, offered):
    api.answers(envelope([{"name": "den01"}, {"name": "sin01"}]))
    assert complete(f"colotrace trace 192.0.2.1 --from {begun}") == offered


def test_ids_are_completed(api, complete, envelope, summary):
    api.answers(envelope([summary()]))
    assert complete("colotrace show 0198") == [MEASUREMENT]


def test_formats_are_completed_without_asking(api, complete):
    assert complete("colotrace show x --format m") == ["markdown", "mtr"]
    assert api.asked == []


def test_error_is_silent(api, complete, failure):
    api.answers(failure({"code": 10000, "message": "x"}), status=401)
    assert complete("colotrace trace 192.0.2.1 --from d") == []


def test_missing_settings_are_silent(complete):
    assert complete("colotrace trace 192.0.2.1 --from d", COLOTRACE_URL="") == []


def test_slow_coordinator_is_not_waited_for(api, complete):
    api.never_answers()
    began = time.monotonic()
    assert complete("colotrace trace 192.0.2.1 --from d") == []
    assert time.monotonic() - began < 10
