"""The operator's command against a real coordinator: traced, listed, shown, compared."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet import Fleet
from fleet.fleet import ACCOUNT

COLOTRACE = Path(sys.executable).parent / "colotrace"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(fleet: Fleet, tmp_path: Path) -> Run:
    """Runs the command, with a state of its own."""
    settings = {
        "COLOTRACE_URL": fleet.base_url,
        "COLOTRACE_TOKEN": fleet.token,
        "COLOTRACE_ACCOUNT": ACCOUNT,
        "XDG_STATE_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COLOTRACE, *words],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_last_measurement_is_listed_shown_and_compared(run: Run) -> None:
    trace = ["trace", "web.lab.example", "--from", "den01,fra01", "-4"]
    assert run(*trace).returncode == 0
    assert run(*trace[:2], "--from", "@-1", "-4").returncode == 0
    last = run("open", "@-1").stdout.strip()
    assert last.rpartition("/")[2] in run("list").stdout
    shown = run("show", last, "--tree")
    assert "web.lab.example" in shown.stdout
    assert "2 colos" in shown.stdout
    compared = run("diff", "@-2", "@-1")
    assert compared.returncode == 0, compared.stdout
    assert compared.stdout.startswith("2 rows compared, with the paths of 2")


def test_asynchronous_one_is_followed_to_its_end(run: Run) -> None:
    begun = run("trace", "web.lab.example", "--from", "limit:1", "--async")
    assert begun.returncode == 0, begun.stderr
    followed = run("follow", begun.stdout.strip())
    assert followed.returncode == 0, followed.stderr
    assert "1 trace in" in followed.stdout


def test_guarded_command_that_changes_nothing(run: Run) -> None:
    done = run("guard", "web.lab.example", "--from", "den01", "-4", "--", "true")
    assert done.returncode == 0, done.stdout
    assert "Stable after" in done.stdout
