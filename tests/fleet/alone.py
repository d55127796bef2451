"""The installed agent, run on the lab for one batch of targets, and what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import Lab

COMMAND = Path(sys.executable).parent / "colotrace-agent"


@dataclass(frozen=True, slots=True)
class Told:
    """What a run of `colotrace-agent trace --json` said."""

    status: int
    rows: dict[str, dict[str, Any]]
    """By target as asked, the row of its one colo."""
    notes: str
    """What came on standard error: reasons and notices in words."""

    def hops(self, target: str) -> list[frozenset[str]]:
        """The addresses of a row, one entry a TTL."""
        hops = self.rows[target]["hops"]
        assert [hop["packets_ttl"] for hop in hops] == list(range(1, len(hops) + 1)), hops
        return [frozenset(node["ip"] for node in hop["nodes"] if node["ip"]) for hop in hops]


def command(*words: str) -> list[str]:
    """The command line of a trace without names, private targets allowed."""
    return [str(COMMAND), "trace", "--json", "--no-names", "--allow-private", *words]


def read(done: subprocess.CompletedProcess[str]) -> Told:
    """What a finished run said."""
    assert done.returncode in (0, 1), done.stderr
    rows = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        (rows[row["target"]],) = row["colos"]
    return Told(done.returncode, rows, done.stderr)


def trace(lab: Lab, host: str, targets: Sequence[str], *options: str) -> Told:
    """Runs the agent on a host of the lab; every target has a row."""
    told = read(lab.run_forked(host, command(*options, *targets), timeout_s=60))
    assert sorted(told.rows) == sorted(set(targets))
    return told
