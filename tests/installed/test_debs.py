"""The Debian packages: installed, run, upgraded while a trace runs, downgraded, removed and purged,
on booted hosts of each suite."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import wait_until

from installed import debs
from installed.bases import SUITES, base
from installed.operator import Operator
from installed.roots import HOME, Root, RootError
from installed.world import SILENT, World, world

AGENT, COORDINATOR = "colotrace-agent", "colotrace-coordinator"
MOST_EXPOSED = 1.5
MOST_BYTES = 100e6


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Hosts:
    """Two booted hosts without our packages' services in use yet."""

    def __init__(self, made: World, suite: str, directory: Path) -> None:
        self.suite = suite
        self.directory = directory
        self.trace = made.root("trace", base(suite))
        self.probe = made.root("probe1", base(suite))
        for root in (self.trace, self.probe):
            root.boot()
        self.installed = install(
            self.trace, *debs.built(suite, COORDINATOR, "colotrace"), check=True
        )
        install(self.probe, *debs.built(suite, AGENT), check=True)


def install(root: Root, *packages: Path, check: bool) -> str:
    """Have dpkg install packages in a booted host, which reaches no archive; what it printed."""
    for package in packages:
        root.put(package, f"{HOME}/{package.name}")
    names = [f"{HOME}/{package.name}" for package in packages]
    return root.run("dpkg", "--install", *names, check=check, timeout=300)


def relabelled(package: Path, version: str, directory: Path) -> Path:
    """The package as one of another version."""
    tree = directory / f"{package.stem}.tree"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
    made = directory / f"{package.name.partition('_')[0]}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(made)],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(tree)
    return made


@pytest.fixture(scope="module")
def hosts(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """The tests of a suite share the hosts, and go on from each other."""
    directory = tmp_path_factory.mktemp(suite)
    with world(directory) as made:
        yield Hosts(made, suite, directory)


@pytest.fixture(scope="module")
def operator(hosts: Hosts) -> Operator:
    """With one agent, which has joined."""
    operator = Operator(hosts.trace)
    operator.join(hosts.probe, "den01")
    return operator


def shown(root: Root, unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit."""
    names = ",".join(properties)
    lines = root.run("systemctl", "show", f"--property={names}", f"{unit}.service").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_lintian_finds_nothing(suite: str) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", *debs.built(suite)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_each_command_has_a_manual_page(suite: str, tmp_path: Path) -> None:
    for package, wanted in ((AGENT, "join"), (COORDINATOR, "agent-enroll"), ("colotrace", "trace")):
        (file,) = debs.built(suite, package)
        subprocess.run(["dpkg-deb", "--extract", str(file), str(tmp_path / package)], check=True)
        pages = tmp_path / package / "usr" / "share" / "man" / "man1"
        assert (pages / f"{package}-{wanted}.1.gz").exists()
        for page in pages.iterdir():
            text = subprocess.run(
                ["zcat", str(page)], check=True, capture_output=True, text=True
            ).stdout
            assert ".SH NAME" in text
            assert ".SH OPTIONS" in text


def test_coordinator_starts_at_installation(hosts: Hosts) -> None:
    facts = shown(hosts.trace, COORDINATOR, "ActiveState", "UnitFileState", "User")
    assert facts == {"ActiveState": "active", "UnitFileState": "enabled", "User": COORDINATOR}


def test_agent_waits_for_join_without_failing_again_and_again(hosts: Hosts) -> None:
    assert shown(hosts.probe, AGENT, "ActiveState", "UnitFileState") == {
        "ActiveState": "inactive",
        "UnitFileState": "disabled",
    }
    hosts.probe.run("systemctl", "start", AGENT, check=False)
    facts = shown(hosts.probe, AGENT, "ActiveState", "NRestarts", "ExecMainStatus")
    assert facts == {"ActiveState": "failed", "NRestarts": "0", "ExecMainStatus": "2"}
    assert "this host has not joined a coordinator" in hosts.probe.journal(AGENT)
    hosts.probe.run("systemctl", "reset-failed", AGENT)


def test_commands_of_root_leave_no_files_of_root(hosts: Hosts, operator: Operator) -> None:
    """And other users are told how to run them."""
    owners = hosts.trace.run("find", f"/var/lib/{COORDINATOR}", "-printf", "%u\n").split()
    assert set(owners) == {COORDINATOR}
    hosts.trace.run(COORDINATOR, "backup", f"{HOME}/kept.colotrace")
    assert hosts.trace.run("stat", "--format=%U %a", f"{HOME}/kept.colotrace") == "root 600\n"
    done = hosts.trace.completed(
        "setpriv", "--reuid=65534", "--clear-groups", COORDINATOR, "agent", "list"
    )
    assert done.returncode == 1
    assert f"sudo {COORDINATOR} agent list" in done.stderr


def test_join_enables_the_unit_and_a_trace_answers(hosts: Hosts, operator: Operator) -> None:
    facts = shown(hosts.probe, AGENT, "ActiveState", "UnitFileState", "StatusErrno", "User")
    assert (facts["ActiveState"], facts["UnitFileState"]) == ("active", "enabled")
    owners = hosts.probe.run("find", f"/var/lib/{AGENT}", "-printf", "%u %m\n").splitlines()
    assert set(owners) == {f"{AGENT} 700", f"{AGENT} 600"}
    for packet_type in ("icmp", "udp", "tcp"):
        (row,) = operator.rows("example.com", "--from", "den", "--packet-type", packet_type)
        assert row["error"] == ""
        assert row["target_summary"]["packet_count"] > 0
    refused = hosts.probe.completed("colotrace-agent", "join", operator.enroll("den01"))
    assert refused.returncode == 2
    assert "this host has joined" in refused.stderr


def test_sizes(hosts: Hosts, operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    """The bytes of all files, with compiled modules."""
    sizes = {}
    for root, name in (
        (hosts.probe, AGENT),
        (hosts.trace, COORDINATOR),
        (hosts.trace, "colotrace"),
    ):
        root.run("sh", "-c", f"test -n \"$(find /usr/lib/{name} -name '*.pyc' | head -1)\"")
        printed = root.run("find", f"/usr/lib/{name}", "-type", "f", "-printf", "%s\n")
        sizes[name] = sum(map(int, printed.split()))
    with capsys.disabled():
        told = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())
        print(f"\n{hosts.suite}: {told}")
    assert sizes[AGENT] <= MOST_BYTES


def test_units_are_confined(
    hosts: Hosts, operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    for root, unit in ((hosts.probe, AGENT), (hosts.trace, COORDINATOR)):
        told = root.run("systemd-analyze", "security", "--no-pager", f"{unit}.service")
        level = float(re.findall(r"Overall exposure level for \S+: ([0-9.]+)", told)[0])
        with capsys.disabled():
            print(f"\n{hosts.suite}: {unit} {level}")
        assert level <= MOST_EXPOSED
        facts = shown(root, unit, "WatchdogUSec", "LimitCORE", "NotifyAccess")
        assert facts == {"WatchdogUSec": "1min", "LimitCORE": "0", "NotifyAccess": "main"}


def test_agent_that_hangs_is_started_anew(hosts: Hosts, operator: Operator) -> None:
    place = "/run/systemd/system/colotrace-agent.service.d/soon.conf"
    hosts.probe.write(place, "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n")
    hosts.probe.run("systemctl", "daemon-reload")
    hosts.probe.run("systemctl", "restart", AGENT)
    operator.wait_up("den01")
    hosts.probe.run("systemctl", "kill", "--signal=STOP", AGENT)
    wait_until(lambda: shown(hosts.probe, AGENT, "NRestarts") == {"NRestarts": "1"}, within_s=30)
    hosts.probe.run("rm", place)
    hosts.probe.run("systemctl", "daemon-reload")
    hosts.probe.run("systemctl", "restart", AGENT)
    operator.wait_up("den01")


@pytest.mark.parametrize("name", [AGENT, COORDINATOR])
@pytest.mark.parametrize("version", ["9.0+deb12", "0.0.1+deb12"])
def test_upgrade_and_downgrade_lose_nothing(
    hosts: Hosts, operator: Operator, name: str, version: str
) -> None:
    """A trace that runs meanwhile has all its replies: the service finishes it first."""
    root = hosts.probe if name == AGENT else hosts.trace
    other = relabelled(debs.built(hosts.suite, name)[0], version, hosts.directory)
    started = shown(root, name, "ExecMainStartTimestampMonotonic")
    running = operator.start_trace(SILENT, "--from", "den", "--json", "--wait-time", "5")
    wait_until(lambda: operator.jobs() > 0, within_s=20)
    install(root, other, check=True)
    out, errors = running.communicate(timeout=60)
    (row,) = json.loads(out)["result"][0]["colos"]
    assert row["error"] == "", errors
    assert len(row["hops"]) == 15
    assert row["hops"][0]["packets_lost"] == 0
    assert shown(root, name, "ExecMainStartTimestampMonotonic") != started
    assert root.run("dpkg-query", "--show", "--showformat=${Version}", name) == version
    operator.wait_up("den01")
    assert [row["error"] for row in operator.rows("example.com", "--from", "den")] == [""]
    install(root, *debs.built(hosts.suite, name), check=True)
    operator.wait_up("den01")


def test_removal_keeps_state_and_purging_leaves_the_user_alone(
    hosts: Hosts, operator: Operator
) -> None:
    for root, name in ((hosts.probe, AGENT), (hosts.trace, COORDINATOR)):
        root.run("dpkg", "--remove", name)
        assert root.run("systemctl", "is-active", name, check=False).strip() == "inactive"
        kept = root.run("ls", f"/var/lib/{name}")
        assert kept
        with pytest.raises(RootError):
            root.run("ls", f"/usr/lib/{name}")
        # Installed again, it goes on with its state.
        install(root, *debs.built(hosts.suite, name), check=True)
    operator.wait_up("den01")
    for root, name in ((hosts.probe, AGENT), (hosts.trace, COORDINATOR)):
        root.run("dpkg", "--purge", name)
    hosts.trace.run("dpkg", "--purge", "colotrace")
    for root in (hosts.probe, hosts.trace):
        left = root.run(
            *("find", "/", "-xdev", "-name", "*colotrace*", "-not", "-path", "/proc/*"),
            *("-not", "-path", f"{HOME}/*", "-not", "-path", "/sys/*"),
        )
        assert left == ""
        assert "colotrace" in root.run("cat", "/etc/passwd")


def test_installs_where_no_systemd_runs(suite: str, tmp_path: Path) -> None:
    """As in a chroot that becomes an image: the units start when it boots."""
    with world(tmp_path) as made:
        root = made.root("image", base(suite))
        root.install(*debs.built(suite))
        assert root.change("colotrace-agent trace 127.0.0.1 --allow-private --json")
        root.boot()
        assert root.run("systemctl", "is-active", COORDINATOR).strip() == "active"
        assert root.run("systemctl", "is-enabled", AGENT, check=False).strip() == "disabled"
