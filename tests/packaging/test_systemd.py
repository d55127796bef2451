"""The units start what exists, with the rights that are meant, and the settings that are known."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from colotrace_agent.engine.identity import PORTS

from .programs import AGENT, COORDINATOR, known

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
PROGRAMS = {"agent": AGENT, "coordinator": COORDINATOR}
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def service(name):
    """The [Service] section; of repeated keys the last."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string((SYSTEMD / f"colotrace-{name}.service").read_text())
    return unit["Service"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_setting_is_one_that_the_program_knows(name):
    """Lines of the environment file, commented out or not, and of the unit itself."""
    text = (SYSTEMD / f"{name}.env").read_text()
    named = set(re.findall(r"^#?(COLOTRACE_[A-Z0-9_]+)=", text, re.MULTILINE))
    unit = (SYSTEMD / f"colotrace-{name}.service").read_text()
    named |= set(re.findall(r"^Environment=(COLOTRACE_[A-Z0-9_]+)=", unit, re.MULTILINE))
    assert named
    assert named <= known(*PROGRAMS[name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_environment_file_is_one_for_systemd(name):
    """Only comments, blank lines and NAME=value, since systemd passes over anything else."""
    for line in (SYSTEMD / f"{name}.env").read_text().splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[A-Z_]+=\S.*", line)


def test_the_agent_has_two_capabilities_and_its_sockets():
    """What its sockets and their buffers take, and the address families of its sockets."""
    agent = service("agent")
    for name in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert set(agent[name].split()) == {"CAP_NET_RAW", "CAP_NET_ADMIN"}
    assert agent["NoNewPrivileges"] == "yes"
    families = {"AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"}
    assert set(agent["RestrictAddressFamilies"].split()) == families
    assert int(agent["LimitNOFILE"]) >= 2 * len(PORTS)
    assert "PrivateUsers" not in agent


def test_the_coordinator_has_no_capability():
    """Both sets are empty."""
    coordinator = service("coordinator")
    assert coordinator["AmbientCapabilities"] == coordinator["CapabilityBoundingSet"] == ""
    assert coordinator["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize("name", PROGRAMS)
def test_users_exist_and_programs_are_the_entry_points(name):
    """The unit's user is made by the sysusers file; it starts the entry point's command."""
    section = service(name)
    assert re.search(
        rf"^u {section['User']} ", (SYSTEMD / "colotrace.sysusers").read_text(), re.MULTILINE
    )
    assert section["ExecStart"].split() == [
        f"/opt/colotrace/bin/colotrace-{name}",
        PROGRAMS[name][1],
    ]
    # Answers are out within 25 s: a stop must leave them that time.
    assert int(section["TimeoutStopSec"]) > 25


@needs_systemd
@pytest.mark.parametrize("name", PROGRAMS)
def test_systemd_takes_the_unit(name, tmp_path):
    """`systemd-analyze verify` finds nothing to say, given a program that exists here."""
    unit = tmp_path / f"colotrace-{name}.service"
    text = (SYSTEMD / unit.name).read_text()
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text))
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_unit_is_confined(name):
    """systemd's own measure of exposure, 0 to 10, stays low."""
    done = subprocess.run(
        [
            *(ANALYZE, "security", "--offline=yes", "--threshold=25"),
            str(SYSTEMD / f"colotrace-{name}.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:]
