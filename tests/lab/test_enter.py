"""A lab without root: `enter.py` makes a user namespace and runs a command in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from lab import access, enter

pytestmark = pytest.mark.lab

ENTER = Path(enter.__file__)
NOBODY = 65534


def unprivileged_python() -> list[str]:
    """A command line that runs this Python version as a user without any capability."""
    if os.geteuid():
        return [sys.executable]
    if "4294967295" not in Path("/proc/self/uid_map").read_text():
        pytest.skip("this is a user namespace already, with no second user to become")
    # By way of env, since setpriv itself still has root's capabilities when it starts a program.
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env"]
    wanted = "{}.{}".format(*sys.version_info)
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if python:
            argv = [*become, python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.stdout.strip() == wanted:
                return [*become, python]
    pytest.skip(f"no Python {wanted} here that another user may run")


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    tests, packages = str(ENTER.parent.parent), sysconfig.get_path("purelib")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tests}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)


def test_with_roots_capabilities_the_command_is_just_run() -> None:
    if access.reason():
        pytest.skip(str(access.reason()))
    done = run(sys.executable, str(ENTER), "sh", "-c", "readlink /proc/self/ns/net; exit 7")
    assert done.returncode == 7
    assert done.stdout.strip() == str(Path("/proc/self/ns/net").readlink())


def test_another_user_becomes_root_of_a_namespace() -> None:
    script = "id -u; cat /proc/sys/net/ipv4/conf/lo/forwarding; ls /run; exit 7"
    done = run(*unprivileged_python(), str(ENTER), "sh", "-c", script)
    assert done.returncode == 7, done.stderr
    assert done.stdout.split() == ["0", "0", "netns"]


TRACE = """
from lab import Lab
with Lab() as lab:
    print(lab.run("sin01", ["traceroute", "-n", "-I", "far.lab.example"]).stdout)
"""


def test_another_user_can_build_and_trace_a_lab() -> None:
    python = unprivileged_python()
    done = run(*python, str(ENTER), python[-1], "-c", TRACE)
    assert done.returncode == 0, done.stderr
    assert "\n15  198.18.20.100 " in done.stdout


def test_a_program_can_enter_by_itself() -> None:
    code = (
        "from lab import access, enter\n"
        "access.enter_if_needed()\n"
        "print(access.reason(), enter.missing_capabilities())"
    )
    done = run(*unprivileged_python(), "-c", code)
    assert done.stdout.split() == ["None", "[]"], done.stderr


def test_without_capabilities_the_reason_names_the_remedy() -> None:
    done = run(*unprivileged_python(), "-c", "from lab import access; access.require()")
    assert "LabUnavailableError: the lab needs CAP_NET_ADMIN" in done.stderr
    assert "enter.py" in done.stderr


def test_where_no_namespace_can_be_made_it_says_why_or_runs_the_command_as_it_is() -> None:
    python = unprivileged_python()
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    forbid = [*python, str(ENTER), "sh", "-c", limit, "sh"]
    # Inside a user namespace that allows no further one, and with no capability left.
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    strict = run(*forbid, *drop, python[-1], str(ENTER), "echo", "ran")
    assert (strict.returncode, strict.stdout) == (77, "")
    assert "no lab here" in strict.stderr
    assert "max_user_namespaces" in strict.stderr
    lenient = run(*forbid, *drop, python[-1], str(ENTER), "--if-possible", "echo", "ran")
    assert (lenient.returncode, lenient.stdout) == (0, "ran\n")
    assert "no lab here" in lenient.stderr


def test_a_command_that_does_not_exist_is_said() -> None:
    done = run(*unprivileged_python(), str(ENTER), "/no/such/command")
    assert done.returncode == 127
    assert "/no/such/command" in done.stderr


def test_a_killed_command_gives_the_shells_status() -> None:
    done = run(*unprivileged_python(), str(ENTER), "sh", "-c", "kill -KILL $$")
    assert done.returncode == 128 + signal.SIGKILL


def test_signals_are_forwarded_and_everything_ends() -> None:
    argv = [*unprivileged_python(), str(ENTER), "sh", "-c", "sleep 600 & echo ready; wait"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        program.terminate()
        assert program.wait(10) == 128 + signal.SIGTERM
        # The orphaned sleep held this pipe too: its end shows that it is gone.
        assert program.stdout.read() == ""


def test_the_reason_for_no_tun_device_is_none_or_says_what_helps() -> None:
    why = access.tun_reason()
    assert why is None or "/dev/net/tun" in why or "TUN" in why
