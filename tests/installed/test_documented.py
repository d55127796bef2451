"""The commands of the pages, typed literally on fresh Debian hosts in the order of the pages.

The hosts are those of the prompts. Only what a session omits (`ctj_…`) is filled in, and the .deb
files lie in the home directories, where a user would have copied them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType

import pytest
from eventually import wait_until
from fleet import samples

from installed import debs
from installed.bases import SUITES, base
from installed.console import Typed, filled, sessions
from installed.operator import Operator
from installed.roots import HOME, Root
from installed.shell import Shell
from installed.world import World, world

SDK = "sdk.py"
"""The file in which a user keeps the page's Python sample."""
WITHIN_S = 300.0
RIGHTS = "/etc/mosquitto/colotrace/acl"
RELOADED, STARTED = "Reloading config", "mosquitto version"


class Typist:
    """One who types the commands of the pages, on every host in a terminal of its own."""

    def __init__(self, made: World) -> None:
        self._world = made
        self._shells: dict[tuple[str, str], Shell] = {}
        self._printed = ""
        self.count = 0

    def __enter__(self) -> Typist:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for shell in self._shells.values():
            shell.close()

    def type(self, typed: Typed) -> str:
        """Type a command as its session says; what it printed. Raises RootError if it fails."""
        key = (typed.user, typed.host)
        if key not in self._shells:
            self._shells[key] = Shell(self._world.roots[typed.host], typed.user)
            self._shells[key].type("export DEBIAN_FRONTEND=noninteractive")
        began = time.monotonic()
        printed = self._shells[key].type(filled(typed.command, self._printed))
        self._printed += printed
        self.count += 1
        print(f"{time.monotonic() - began:6.1f} s  {typed.user}@{typed.host}: {typed.command}")
        return printed


@pytest.mark.parametrize("suite", SUITES)
def test_new_installation_by_the_readme(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From packages to the first trace by CLI, curl and the SDK, within five minutes."""
    with world(tmp_path) as made:
        prepared = made.root("prepared", base(suite))
        prepared.install("python3-venv")
        prepared.change("python3 -m venv /opt/sdk && /opt/sdk/bin/pip install -q cloudflare")
        prepared.write("/etc/apt/apt.conf.d/99yes", 'APT::Get::Assume-Yes "true";\n')
        for package in debs.built(suite):
            prepared.put(package, f"{HOME}/{package.name}")
        (sdk,) = (
            each.text
            for each in samples.samples()
            if each.language == "python" and each.where.startswith("README.md")
        )
        prepared.write(f"{HOME}/{SDK}", sdk)
        for name in ("trace", "probe1", "probe2", "probe3"):
            made.root(name, prepared.layers).boot()
        began = time.monotonic()
        with Typist(made) as typist:
            *before, curl = sessions("README.md")
            for typed in before:
                typist.type(typed)
            (row,) = json.loads(typist.type(curl))["result"]
            assert [colo["colo"]["name"] for colo in row["colos"]] == ["den01", "sin01"]
            assert all(colo["target_summary"]["packet_count"] for colo in row["colos"])
            told = typist.type(Typed("", "root", "trace", f"/opt/sdk/bin/python {SDK}"))
            assert [line.split()[:2] for line in told.splitlines()] == [
                ["example.com", "den01"],
                ["example.com", "sin01"],
            ]
        took = time.monotonic() - began
        with capsys.disabled():
            print(f"\n{suite}: {typist.count} commands in {took:.0f} s, to the last trace")
        assert took < WITHIN_S


@pytest.mark.parametrize("suite", SUITES)
def test_tasks_of_the_operations_page(suite: str, tmp_path: Path) -> None:
    """Many hosts by one loop, drained, revoked, joined anew, and all of it moved to PostgreSQL."""
    with world(tmp_path) as made:
        for root in _hosts_of_an_operator(made, suite):
            root.boot()
        operator = Operator(made.roots["trace"])
        with Typist(made) as typist:
            for typed in sessions("docs/operations.md"):
                if typed.command.startswith("cat "):
                    made.roots[typed.host].write(
                        f"/home/{typed.user}/{typed.command.removeprefix('cat ')}", typed.shown
                    )
                typist.type(typed)
        operator.wait_up("den01", "fra01", "sin01")
        rows = operator.rows("example.com", "--from", "den,fra,sin")
        assert [(row["colo"]["name"], row["error"]) for row in rows] == [
            ("den01", ""),
            ("fra01", ""),
            ("sin01", ""),
        ]
        database = operator.trace.run(
            "env", "--chdir=/", "runuser", "-u", "postgres", "--", "psql", "-Atc",
            "select count(*) from agents", "colotrace",
        )  # fmt: skip
        assert int(database) == 4  # the forgotten one is kept, as revoked
        assert len(operator.agents()) == 3


@pytest.mark.parametrize("suite", SUITES)
def test_tasks_of_the_enrolment_page(suite: str, tmp_path: Path) -> None:
    """An agent joins and is renamed. An MQTT broker then lets in enrolled agents only."""
    with world(tmp_path) as made:
        trace = made.root("trace", base(suite))
        trace.install(*debs.built(suite, "colotrace-coordinator", "colotrace"), "mosquitto", "curl")
        trace.write("/etc/apt/apt.conf.d/99yes", 'APT::Get::Assume-Yes "true";\n')
        with_agent = made.root("with-agent", base(suite))
        with_agent.install(*debs.built(suite, "colotrace-agent"))
        joined, late = (made.root(f"probe{number}", with_agent.layers) for number in (1, 2))
        for root in (trace, joined, late):
            root.boot()
        operator = Operator(trace)
        with Typist(made) as typist:
            for typed in sessions("docs/enrolment.md"):
                typist.type(typed)
        operator.wait_up("den03")
        late.run("colotrace-agent", "join", operator.enroll("sin01"))
        operator.wait_up("den03", "sin01")
        assert "at the broker" in late.journal("colotrace-agent")
        rows = operator.rows("example.com", "--from", "den03,sin01")
        assert [(row["colo"]["name"], row["error"]) for row in rows] == [
            ("den03", ""),
            ("sin01", ""),
        ]
        (identity,) = (each["id"] for each in operator.agents() if each["colo"] == "sin01")
        assert identity in trace.run("cat", RIGHTS)
        reloads = trace.journal("mosquitto").count(RELOADED)
        trace.run("colotrace-coordinator", "agent", "revoke", identity)
        wait_until(lambda: identity not in trace.run("cat", RIGHTS), within_s=10)
        wait_until(lambda: trace.journal("mosquitto").count(RELOADED) > reloads, within_s=10)
        wait_until(lambda: "sin01" not in operator.up(), within_s=20)
        # More changes than systemd starts a unit within its usual limit.
        began = trace.journal("mosquitto").count(STARTED)
        for number in range(8):
            token = operator.enroll("sin01")
            late.run(
                *("colotrace-agent", "join", token, "--only", "--agent-id", f"many{number}"),
                *("--state-dir", f"/var/lib/many{number}"),
            )
            time.sleep(1)
        trace.run("colotrace-coordinator", "ca", "rotate")
        wait_until(lambda: trace.journal("mosquitto").count(STARTED) > began, within_s=20)
        operator.wait_up("den03")


def _hosts_of_an_operator(made: World, suite: str) -> list[Root]:
    """A coordinator's host and three probe hosts with their packages, and a laptop whose user's
    key is root's on the others."""
    secure = made.root("secure", base(suite))
    secure.install("openssh-server", "openssh-client")
    secure.change(
        "useradd --create-home --shell /bin/bash you && "
        "runuser -u you -- ssh-keygen -q -t ed25519 -N '' -f /home/you/.ssh/id_ed25519 && "
        f"install -D -m 600 /home/you/.ssh/id_ed25519.pub {HOME}/.ssh/authorized_keys && "
        "echo 'StrictHostKeyChecking accept-new' > /etc/ssh/ssh_config.d/new.conf && "
        "echo 'APT::Get::Assume-Yes \"true\";' > /etc/apt/apt.conf.d/99yes"
    )
    with_coordinator = made.root("with-coordinator", secure.layers)
    with_coordinator.install(*debs.built(suite, "colotrace-coordinator", "colotrace"), "postgresql")
    with_agent = made.root("with-agent", secure.layers)
    with_agent.install(*debs.built(suite, "colotrace-agent"))
    return [
        made.root("trace", with_coordinator.layers),
        *(made.root(f"probe{number}", with_agent.layers) for number in (1, 2, 3)),
        made.root("laptop", secure.layers),
    ]
