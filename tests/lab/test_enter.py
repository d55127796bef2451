"""A lab without root: `enter.py` creates a user namespace and runs a command in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import access, enter

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("another user")]

NOBODY = 65534
TESTS = Path(enter.__file__).parent.parent
PACKAGES = Path(sysconfig.get_path("purelib"))
# Other users may not enter the checkout's home directory, so the tests and packages are mounted at
# a place that everybody can enter. The mounts are private to the program.
_SHOW = 'mount --bind "$1" "$3/tests" && mount --bind "$2" "$3/packages" && shift 3 && exec "$@"'


class User:
    """A user without capabilities, with copies of Python and the tests that the user may read."""

    def __init__(self, prefix: list[str], python: str, *, tests: Path, packages: Path) -> None:
        self._prefix = prefix
        self._path = f"{tests}:{packages}"
        self.python = python
        self.enter = str(tests / "lab/enter.py")

    def command(self, *argv: str) -> list[str]:
        """The command line that runs this Python as the user."""
        return [*self._prefix, self.python, *argv]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": self._path, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*argv),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """The caller, or `nobody` if the caller is root."""
    if os.geteuid():
        yield User([], sys.executable, tests=TESTS, packages=PACKAGES)
        return
    if not access.is_root():
        pytest.skip("this is a user namespace already, with no second user to become")
    shown = Path(tempfile.mkdtemp(prefix="colotrace-enter-", dir="/tmp"))
    try:
        shown.chmod(0o755)
        (shown / "tests").mkdir()
        (shown / "packages").mkdir()
        show = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            _SHOW,
            "sh",
            str(TESTS),
            str(PACKAGES),
            str(shown),
        ]
        # Start through env, since setpriv itself still has root's capabilities when it starts a
        # program.
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env"]
        prefix = [*show, *become]
        yield User(prefix, _python_for(prefix), tests=shown / "tests", packages=shown / "packages")
    finally:
        shutil.rmtree(shown)


def _python_for(prefix: list[str]) -> str:
    """A Python of this version that the user may run."""
    wanted = "{}.{}".format(*sys.version_info)
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if python:
            argv = [*prefix, python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.stdout.strip() == wanted:
                return python
    pytest.skip(f"no Python {wanted} here that another user may run")


def test_root_runs_the_command_directly() -> None:
    if access.reason():
        pytest.skip(str(access.reason()))
    done = subprocess.run(
        [sys.executable, enter.__file__, "sh", "-c", "readlink /proc/self/ns/net; exit 7"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7
    assert done.stdout.strip() == str(Path("/proc/self/ns/net").readlink())


def test_other_user_becomes_root_of_a_namespace(user: User) -> None:
    script = "id -u; cat /proc/sys/net/ipv4/conf/lo/forwarding; ls /run; exit 7"
    done = user.run(user.enter, "sh", "-c", script)
    assert done.returncode == 7, done.stderr
    assert done.stdout.split() == ["0", "0", "netns"]


TRACE = """
from lab import Lab
with Lab() as lab:
    print(lab.run("sin01", ["traceroute", "-n", "-I", "far.lab.example"]).stdout)
"""


def test_other_user_can_build_and_trace_a_lab(user: User) -> None:
    done = user.run(user.enter, user.python, "-c", TRACE)
    assert done.returncode == 0, done.stderr
    assert "\n15  198.18.20.100 " in done.stdout


def test_program_can_enter_by_itself(user: User) -> None:
    code = (
        "from lab import access, enter\n"
        "access.enter_if_needed()\n"
        "print(access.reason(), enter.missing_capabilities())"
    )
    done = user.run("-c", code)
    assert done.stdout.split() == ["None", "[]"], done.stderr


def test_without_capabilities_the_reason_names_the_remedy(user: User) -> None:
    done = user.run("-c", "from lab import access; access.require()")
    assert "LabUnavailableError: the lab needs CAP_NET_ADMIN" in done.stderr
    assert "enter.py" in done.stderr


def test_without_namespaces_it_fails_with_the_reason_or_runs_the_command_directly(
    user: User,
) -> None:
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    forbid = [user.enter, "sh", "-c", limit, "sh"]
    # Inside a user namespace that allows no further one, and with no capability left.
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    strict = user.run(*forbid, *drop, user.python, user.enter, "echo", "ran")
    assert (strict.returncode, strict.stdout) == (77, "")
    assert "no lab here" in strict.stderr
    assert "max_user_namespaces" in strict.stderr
    lenient = user.run(*forbid, *drop, user.python, user.enter, "--if-possible", "echo", "ran")
    assert (lenient.returncode, lenient.stdout) == (0, "ran\n")
    assert "no lab here" in lenient.stderr


def test_missing_command_is_reported(user: User) -> None:
    done = user.run(user.enter, "/no/such/command")
    assert done.returncode == 127
    assert "/no/such/command" in done.stderr


def test_killed_command_gives_the_shells_exit_status(user: User) -> None:
    done = user.run(user.enter, "sh", "-c", "kill -KILL $$")
    assert done.returncode == 128 + signal.SIGKILL


def test_signals_are_forwarded_and_everything_ends(user: User) -> None:
    argv = user.command(user.enter, "sh", "-c", "sleep 600 & echo ready; wait")
    environment = user.environment()
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        program.terminate()
        assert program.wait(10) == 128 + signal.SIGTERM
        # The orphaned sleep also held this pipe, so end of file shows that it has ended.
        assert program.stdout.read() == ""


def test_reason_without_tun_device_has_a_remedy() -> None:
    why = access.tun_reason()
    assert why is None or "/dev/net/tun" in why or "TUN" in why
