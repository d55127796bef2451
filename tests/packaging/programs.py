"""Helpers that run the programs for their version, help and settings."""

import os
import re
import subprocess
from functools import cache

from forked import Captured, Request
from lab.programs import MODULES

NAMES = {
    "colotrace": "colotrace_cli",
    "colotrace-agent": "colotrace_agent",
    "colotrace-coordinator": "colotrace_coordinator",
}
AGENT = ("colotrace-agent", "run")
TRACE = ("colotrace-agent", "trace")
COORDINATOR = ("colotrace-coordinator", "serve")


def run(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program to its end, its output captured; no setting of ours is in its environment."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COLOTRACE_")}
    request = Request(
        module=f"{NAMES[program]}.main",
        command=[program, *words],
        environment=clean | environment,
    )
    with Captured(request, among=MODULES) as forked:
        return subprocess.CompletedProcess(words, *forked.finish())


@cache
def known(program: str, command: str) -> frozenset[str]:
    """The environment variables of a command, from its --help: one for each flag."""
    done = run(program, command, "--help", COLUMNS="200", NO_COLOR="1", TERM="dumb")
    assert done.returncode == 0, done.stderr
    return frozenset(re.findall(r"\bCOLOTRACE_[A-Z][A-Z0-9_]*", done.stdout))
