"""The commands of the pages, typed literally on fresh Debian hosts in the order of the pages.

The hosts are those of the prompts. Only what a session omits (`ctj_…`) is filled in, and the .deb
files lie in the home directories, where a user would have copied them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from fleet import samples

from installed import debs
from installed.bases import SUITES, base
from installed.console import Typed, filled, sessions
from installed.roots import World, world
from installed.shell import Shell

HOSTS = ("trace", "probe1", "probe2", "probe3")
PAGES = ("README.md",)
SDK = "sdk.py"
"""The file in which a user keeps the page's Python sample."""
WITHIN_S = 300.0


class Operator:
    """One who types the commands of the pages, on every host in a terminal of its own."""

    def __init__(self, made: World) -> None:
        self._world = made
        self._shells: dict[tuple[str, str], Shell] = {}
        self._printed = ""
        self.count = 0

    def type(self, typed: Typed) -> str:
        """Type a command as its session says; what it printed."""
        key = (typed.user, typed.host)
        if key not in self._shells:
            self._shells[key] = Shell(self._world.roots[typed.host], typed.user)
            self._shells[key].type(
                "export DEBIAN_FRONTEND=noninteractive APT_CONFIG=/root/apt.conf"
            )
        command = filled(typed.command, self._printed)
        began = time.monotonic()
        printed = self._shells[key].type(command)
        self._printed += printed
        self.count += 1
        print(f"{time.monotonic() - began:6.1f} s  {typed.user}@{typed.host}: {typed.command}")
        return printed

    def leave(self) -> None:
        """Close the terminals."""
        for shell in self._shells.values():
            shell.__exit__(None, None, None)


@pytest.mark.parametrize("suite", SUITES)
def test_a_new_installation_by_the_pages(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From packages to the first trace by CLI, curl and the SDK, within five minutes."""
    packages = debs.built(suite)
    with world(tmp_path) as made:
        prepared = made.root("prepared", base(suite))
        prepared.install("python3-venv", "python3-pip")
        prepared.change("python3 -m venv /opt/sdk && /opt/sdk/bin/pip install -q cloudflare")
        prepared.write("/root/apt.conf", 'APT::Get::Assume-Yes "true";\n')
        for package in packages:
            prepared.put(package, f"/root/{package.name}")
        (sdk,) = (
            each.text
            for each in samples.samples()
            if each.language == "python" and each.where.startswith("README.md")
        )
        prepared.write(f"/root/{SDK}", sdk)
        for name in HOSTS:
            made.root(name, prepared.layers).boot()
        operator = Operator(made)
        try:
            began = time.monotonic()
            last = ""
            for page in PAGES:
                for typed in sessions(page):
                    last = operator.type(typed)
                    if typed.command.startswith("colotrace trace"):
                        assert "example.com" in last
            answer = json.loads(last)
            (row,) = answer["result"]
            assert [colo["colo"]["name"] for colo in row["colos"]] == ["den01", "sin01"]
            assert all(colo["target_summary"]["packet_count"] for colo in row["colos"])
            told = operator.type(Typed("", "root", "trace", f"/opt/sdk/bin/python {SDK}"))
            assert [line.split()[:2] for line in told.splitlines()] == [
                ["example.com", "den01"],
                ["example.com", "sin01"],
            ]
            took = time.monotonic() - began
        finally:
            operator.leave()
        with capsys.disabled():
            print(f"\n{suite}: {operator.count} commands in {took:.0f} s, to the last trace")
        assert took < WITHIN_S
