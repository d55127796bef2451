"""The units start existing programs with the intended capabilities and known settings."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from colotrace_agent.model import PORTS
from colotrace_coordinator.commands.broker_notice import CHANGED, Notice

from .programs import AGENT, COORDINATOR, known

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
PROGRAMS = {"agent": AGENT, "coordinator": COORDINATOR}
UNITS = (*PROGRAMS, "broker-files")
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def service(name):
    """The [Service] section; the last value of repeated keys."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string((SYSTEMD / f"colotrace-{name}.service").read_text())
    return unit["Service"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_setting_is_known_to_the_program(name):
    """Lines of the environment file, also commented ones, and of the unit."""
    text = (SYSTEMD / f"{name}.env").read_text()
    named = set(re.findall(r"^#?(COLOTRACE_[A-Z0-9_]+)=", text, re.MULTILINE))
    unit = (SYSTEMD / f"colotrace-{name}.service").read_text()
    named |= set(re.findall(r"^Environment=(COLOTRACE_[A-Z0-9_]+)=", unit, re.MULTILINE))
    assert named
    assert named <= known(*PROGRAMS[name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_environment_file_is_valid_for_systemd(name):
    """Only comments, blank lines and NAME=value, since systemd ignores other lines."""
    for line in (SYSTEMD / f"{name}.env").read_text().splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[A-Z_]+=\S.*", line)


def test_the_agent_has_one_capability_and_its_sockets():
    """The capability for raw sockets, and the address families of its sockets."""
    agent = service("agent")
    for name in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert set(agent[name].split()) == {"CAP_NET_RAW"}
    assert agent["NoNewPrivileges"] == "yes"
    families = {"AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"}
    assert set(agent["RestrictAddressFamilies"].split()) == families
    assert int(agent["LimitNOFILE"]) >= 2 * len(PORTS)
    assert "PrivateUsers" not in agent


def test_broker_files_are_those_of_mosquitto_and_watched():
    unit = service("broker-files")
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == ""
    _, program, *words = re.split(r"colotrace/bin/(\S+) ", unit["ExecStart"])
    assert (program, words[0].split()[:2]) == ("colotrace-coordinator", ["broker", "files"])
    out = words[0].partition("--out ")[2].split()[0]
    assert unit["ReadWritePaths"].split() == ["/var/lib/colotrace-coordinator", "/etc/mosquitto"]
    assert (SYSTEMD.parent / "mqtt" / "enrolled.conf").read_text().count(f"{out}/") >= 4
    watched = (SYSTEMD / "colotrace-broker-reload.path").read_text()
    assert f"PathExists={out}/{CHANGED}\n" in watched
    taken = (SYSTEMD / "colotrace-broker-reload.service").read_text()
    assert f"mv -fT {CHANGED} taken" in taken
    assert f"grep -qx {Notice.RESTART.name.lower()} taken" in taken


def test_the_coordinator_has_no_capability():
    """Both sets are empty."""
    coordinator = service("coordinator")
    assert coordinator["AmbientCapabilities"] == coordinator["CapabilityBoundingSet"] == ""
    assert coordinator["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize("name", PROGRAMS)
def test_users_exist_and_programs_are_the_entry_points(name):
    """The sysusers file creates the unit's user, and the unit starts the entry point."""
    section = service(name)
    assert re.search(
        rf"^u {section['User']} ", (SYSTEMD / "colotrace.sysusers").read_text(), re.MULTILINE
    )
    assert section["ExecStart"].split() == [
        f"/opt/colotrace/bin/colotrace-{name}",
        PROGRAMS[name][1],
    ]
    # Answers take up to 25 s, so a stop must allow for that.
    assert int(section["TimeoutStopSec"]) > 25


@pytest.mark.parametrize("name", PROGRAMS)
def test_faults_restart_it_for_ever_and_resources_are_bounded(name):
    """All but an invalid setting; memory, tasks, dumps and files have limits."""
    section = service(name)
    assert section["Type"] == "notify"
    assert int(section["WatchdogSec"]) >= 30
    assert (section["Restart"], section["RestartPreventExitStatus"]) == ("always", "2")
    unit = (SYSTEMD / f"colotrace-{name}.service").read_text()
    assert "StartLimitIntervalSec=0" in unit
    assert section["LimitCORE"] == "0"
    assert {"MemoryHigh", "MemoryMax", "TasksMax", "LimitNOFILE"} <= set(section)


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(name, tmp_path):
    """`systemd-analyze verify` finds no fault, with a program that exists here."""
    unit = tmp_path / f"colotrace-{name}.service"
    text = (SYSTEMD / unit.name).read_text()
    # Known since systemd 254; `make deb` leaves them out for Debian 12, too.
    text = re.sub(r"(?m)^(RestartSteps|RestartMaxDelaySec)=.*\n", "", text)
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text))
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_the_unit_is_confined(name):
    """systemd's exposure level, 0 to 10, is at most 1.5."""
    done = subprocess.run(
        [
            *(ANALYZE, "security", "--offline=yes", "--threshold=15"),
            str(SYSTEMD / f"colotrace-{name}.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:]
