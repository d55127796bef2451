"""`colotrace-agent trace --targets-file -`: targets out of a pipe that takes its time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import Lab, Process

AGENT = Path(sys.executable).parent / "colotrace-agent"


@pytest.fixture
def tracing(lab: Lab) -> Process:
    """The command, waiting for its first target."""
    argv = [AGENT, "trace", "--targets-file", "-", "--json", "--no-names", "--allow-private"]
    pipe = subprocess.PIPE
    return lab.spawn("den01", argv, stdin=pipe, stdout=pipe, stderr=pipe)


def traced(tracing: Process, target: str) -> None:
    """Give it a target, and read its row while the pipe stays open."""
    assert tracing.stdin is not None
    assert tracing.stdout is not None
    tracing.stdin.write(f"{target}\n".encode())
    tracing.stdin.flush()
    row = json.loads(tracing.stdout.readline())
    assert (row["target"], row["colos"][0]["error"]) == (target, "")


def test_each_target_begins_as_its_line_comes(tracing: Process, lab: Lab) -> None:
    """Its row is there before the next line is."""
    traced(tracing, lab.address("web"))
    traced(tracing, lab.address("web", family=6))
    _, errors = tracing.communicate(timeout=20)
    assert (tracing.returncode, errors) == (0, b"")


def test_interrupted_while_it_waits(tracing: Process, lab: Lab) -> None:
    """Nothing holds it: not the pipe either, which is still open."""
    traced(tracing, lab.address("web"))
    tracing.send_signal(signal.SIGINT)
    assert tracing.wait(timeout=10) == 130
    _, errors = tracing.communicate(timeout=10)
    assert errors == b""


def test_a_file_that_is_not_there(lab: Lab) -> None:
    """Said in a line, like all wrong usage."""
    done = lab.run("den01", [AGENT, "trace", "--targets-file", "/none"])
    assert done.returncode == 2
    assert done.stderr == "colotrace-agent: --targets-file /none: No such file or directory\n"
