"""`scripts/setup` with fakes of apt-get, systemctl and python3."""

import shutil
import subprocess
from pathlib import Path

import pytest
from needs import NEEDS_MOUNTS

SETUP = Path(__file__).parents[2] / "scripts" / "setup"

OLD_PYTHON = """#!/bin/sh
if [ "$1" = -V ]; then echo Python 3.9.2; fi
exit 1
"""
PYTHON = """#!/bin/sh
if [ "$*" = "-m venv .venv" ]; then
  mkdir -p .venv/bin
  echo "#!/bin/sh" > .venv/bin/pip
  chmod 755 .venv/bin/pip
  echo "venv by ${0##*/}" >> "$LOG"
fi
exit 0
"""
APT = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
for unit in mosquitto haproxy postgresql postgresql@15-main.service prometheus cron; do
  /usr/sbin/policy-rc.d "$unit" start && allowed=yes || allowed=no
  echo "start $unit: $allowed" >> "$LOG"
done
exit "${APT_FAILS:-0}"
"""
SERVERS = ("mosquitto", "haproxy", "postgresql", "postgresql@15-main.service", "prometheus")
SYSTEMCTL = '#!/bin/sh\necho "systemctl $*" >> "$LOG"\n'
# Hide the host's own policy and servers.
HIDE = """
mount -t tmpfs none /usr/sbin
if [ -d /usr/lib/postgresql ]; then mount -t tmpfs none /usr/lib/postgresql; fi
if [ -e /usr/bin/promtool ]; then mount --bind /dev/null /usr/bin/promtool; fi
"$@"
code=$?
ls /usr/sbin >> "$LOG"
exit $code
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SETUP, tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    for name, text in {"apt-get": APT, "systemctl": SYSTEMCTL, "python3": PYTHON}.items():
        stand_in(tmp_path, name, text)
    return tmp_path


def stand_in(checkout: Path, name: str, text: str) -> None:
    file = checkout / "bin" / name
    file.write_text(text)
    file.chmod(0o755)


def setup(checkout: Path, *before: str, **environment: str) -> tuple[int, list[str], str]:
    """Run the script; returns exit code, calls of the fakes, and standard error."""
    log = checkout / "log"
    log.touch()
    done = subprocess.run(
        [*before, str(checkout / "scripts" / "setup")],
        env={"PATH": f"{checkout}/bin:/usr/bin:/bin", "LOG": str(log)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, log.read_text().splitlines(), done.stderr


def test_too_old_python_is_found_before_anything_is_installed(checkout: Path) -> None:
    stand_in(checkout, "old", OLD_PYTHON)
    status, told, said = setup(checkout, PYTHON=str(checkout / "bin" / "old"))
    assert (status, told) == (1, [])
    assert "3.9.2" in said
    assert "PYTHON=" in said


def test_missing_python_is_reported(checkout: Path) -> None:
    status, told, said = setup(checkout, PYTHON="/nonexistent/python3")
    assert (status, told) == (1, [])
    assert len(said.splitlines()) == 1


HIDDEN = ("unshare", "--mount", "sh", "-c", HIDE, "sh")


@NEEDS_MOUNTS
def test_another_python_that_is_new_enough_is_used(checkout: Path) -> None:
    stand_in(checkout, "python3", OLD_PYTHON)
    stand_in(checkout, "python3.14", PYTHON)
    status, told, _ = setup(checkout, *HIDDEN)
    assert status == 0
    assert "venv by python3.14" in told


@NEEDS_MOUNTS
@pytest.mark.parametrize("fails", ["0", "100"])
def test_servers_are_neither_started_nor_left_enabled(checkout: Path, fails: str) -> None:
    """Whether or not the installation succeeds; other services may be restarted."""
    status, told, _ = setup(checkout, *HIDDEN, APT_FAILS=fails)
    assert (status == 0) is (fails == "0")
    assert any(line.startswith("apt-get install") for line in told)
    for server in SERVERS:
        assert f"start {server}: no" in told
        assert f"start {server}: yes" not in told
    assert "start cron: yes" in told
    for server in ("mosquitto", "haproxy", "postgresql", "prometheus"):
        assert f"systemctl disable --now {server}.service" in told
    assert "policy-rc.d" not in told  # it is removed again


@NEEDS_MOUNTS
def test_existing_servers_are_not_changed(checkout: Path) -> None:
    stand_in(checkout, "mosquitto", "#!/bin/sh\n")
    status, told, _ = setup(checkout, *HIDDEN)
    assert status == 0
    assert not [line for line in told if "systemctl" in line and "mosquitto" in line]
