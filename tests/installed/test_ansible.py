"""The Ansible roles, over SSH, on the host of a coordinator and a probe host."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from installed import debs
from installed.bases import SUITES, base
from installed.control import Control
from installed.operator import Operator
from installed.roots import HOME, Root
from installed.world import World, world

COLO = "den01"
CHANGED = "0.99.0"
"""The version of the upgrade: the same files under another number."""
REPOSITORY = "/srv/colotrace"

_TOKEN = re.compile(r"ctj_[\w.~-]{8,}")


@pytest.mark.parametrize("suite", SUITES)
def test_roles_install_enrol_and_upgrade_once(suite: str, tmp_path: Path) -> None:
    with world(tmp_path / "hosts") as made:
        control = Control(made, tmp_path / "control")
        trace, probe = _hosts(made, control, suite)
        packages = tmp_path / "packages"
        for package in debs.built(suite, "colotrace-agent", "colotrace-coordinator"):
            (packages / suite).mkdir(parents=True, exist_ok=True)
            shutil.copy(package, packages / suite)
        agent: dict[str, Any] = {
            "colotrace_agent_colo": COLO,
            "colotrace_agent_city": "Denver, CO, US",
            "colotrace_debs": str(packages),
        }
        coordinator: dict[str, Any] = {
            "colotrace_coordinator_settings": {"COLOTRACE_NAME": "trace.example.net"},
            "colotrace_debs": str(packages),
        }
        groups = {
            "colotrace_coordinators": {"trace": coordinator},
            "colotrace_agents": {"probe": agent},
        }

        # Check mode tells what would change, on hosts that have nothing yet, and changes nothing.
        assert all(control.play(groups, "--check").changed.values())
        assert probe.completed("test", "-e", "/usr/bin/colotrace-agent").returncode

        first = control.play(groups, "-vvv", "--diff")
        assert all(first.changed.values())
        operator = Operator(trace)
        assert operator.up() == {COLO: 1}
        assert _rows(operator)
        for root in (trace, probe):
            assert not _TOKEN.search(root.run("journalctl", "--no-pager"))
        assert not _TOKEN.search(first.output)
        assert probe.run("systemctl", "is-enabled", "colotrace-agent").strip() == "enabled"

        for options in ([], ["--check"]):
            assert control.play(groups, *options).changed == {"trace": 0, "probe": 0}
        assert len(operator.agents()) == 1

        # Another setting restarts the service that has it, and nothing else.
        before = {root.name: _main_process(root) for root in (trace, probe)}
        agent["colotrace_agent_settings"] = {"COLOTRACE_TAG": ["provider=example", "rack=7"]}
        assert control.play(groups).changed == {"trace": 0, "probe": 2}
        assert _main_process(trace) == before["trace"]
        assert _main_process(probe) != before["probe"]
        assert _rows(operator, "tag:rack=7")

        # An upgrade from an apt source, which has both versions.
        for root, name in ((trace, "colotrace-coordinator"), (probe, "colotrace-agent")):
            _publish(root, packages / suite, name, tmp_path)
        source = f"Types: deb\nURIs: file:{REPOSITORY}\nSuites: ./\nTrusted: yes\n"
        for variables in (agent, coordinator):
            variables |= {
                "colotrace_debs": "",
                "colotrace_apt_source": source,
                "colotrace_version": CHANGED,
            }
        assert control.play(groups).changed == {"trace": 2, "probe": 2}
        assert _version(probe, "colotrace-agent").startswith(CHANGED)
        assert _version(trace, "colotrace-coordinator").startswith(CHANGED)
        assert _rows(operator, "tag:rack=7")
        assert control.play(groups).changed == {"trace": 0, "probe": 0}


def _hosts(made: World, control: Control, suite: str) -> tuple[Root, Root]:
    prepared = made.root("prepared", base(suite))
    control.admit(prepared)
    # The hosts reach no other source, so that apt could not update its lists.
    prepared.change("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*")
    trace, probe = (made.root(name, prepared.layers) for name in ("trace", "probe"))
    trace.put(*(debs.built(suite, "colotrace")), f"{HOME}/colotrace.deb")
    trace.change(f"dpkg --install {HOME}/colotrace.deb")
    for root in (trace, probe):
        root.boot()
    return trace, probe


def _rows(operator: Operator, colo: str = COLO) -> bool:
    """A trace through the colo reaches its target."""
    (row,) = operator.rows("example.com", "--from", colo)
    assert not row["error"]
    return bool(row["target_summary"]["packet_count"])


def _main_process(root: Root) -> str:
    unit = "colotrace-coordinator" if root.name == "trace" else "colotrace-agent"
    return root.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()


def _version(root: Root, package: str) -> str:
    return root.run("dpkg-query", "--show", "--showformat=${Version}", package)


def _publish(root: Root, directory: Path, name: str, temporary: Path) -> None:
    """Give a host a repository with a package and its next version."""
    (old,) = directory.glob(f"{name}_*.deb")
    stage = temporary / "stage" / name
    stage.parent.mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "--raw-extract", str(old), str(stage)], check=True)
    control = stage / "DEBIAN" / "control"
    text = re.sub(r"(?m)^Version: [^+]+", f"Version: {CHANGED}", control.read_text())
    control.write_text(text)
    new = temporary / f"{name}.deb"
    build = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(stage), str(new)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    root.put(old, f"{REPOSITORY}/old.deb")
    root.put(new, f"{REPOSITORY}/new.deb")
    root.write(
        f"{REPOSITORY}/Packages",
        "".join(
            f"{_fields(file)}Filename: ./{where}\nSize: {file.stat().st_size}\n"
            f"SHA256: {_sha256(file)}\n\n"
            for file, where in ((old, "old.deb"), (new, "new.deb"))
        ),
    )


def _fields(deb: Path) -> str:
    return subprocess.run(
        ["dpkg-deb", "--field", str(deb)], check=True, capture_output=True, text=True
    ).stdout


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
