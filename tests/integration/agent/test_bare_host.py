"""The agent on hosts that lack something: /proc, descriptors, loopback."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("prlimit") is None,
    reason="makes namespaces without /proc: needs root and util-linux",
)

AGENT = str(Path(sys.executable).parent / "colotrace-agent")
NETWORK = """
ip link add name v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
ip address add 198.51.100.1/24 dev v0
ip neighbour add 198.51.100.2 lladdr 02:00:00:00:00:02 dev v0
"""
LOOPBACK = "ip link set lo up"
NO_PROC_SYS = "mount -t tmpfs none /proc/sys"
NO_PROC = "mount -t tmpfs none /proc"
TRACE = ["trace", "198.51.100.1", "--allow-private", "--no-names", "--max-ttl", "2", "--json"]
RUN = [
    *("run", "--colo", "tst01", "--city", "Testville", "--insecure"),
    *("--coordinator", "127.0.0.1:1"),
]


def run(*argv: str, before: tuple[str, ...] = (), given: str = "") -> tuple[int, str, str]:
    """Run the agent in namespaces where `before` was run; returns exit code, standard output and
    error."""
    script = "\n".join([NETWORK, *before, 'exec "$@"'])
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-ec", script, "sh", *argv],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("missing", [NO_PROC_SYS, NO_PROC])
def test_traces_without_proc(missing: str) -> None:
    status, told, said = run(AGENT, *TRACE, before=(LOOPBACK, missing))
    assert (status, said) == (0, "")
    assert '"ip":"198.51.100.1"' in told


def test_check_works_partly_without_proc() -> None:
    status, told, said = run(AGENT, "check", before=(LOOPBACK, NO_PROC))
    assert (status, said) == (1, "")
    assert "OK    rights" in told


def test_targets_file_while_loopback_is_down() -> None:
    """No target answers, which is a valid result."""
    words = ["trace", *TRACE[2:], "--targets-file", "-"]
    status, told, said = run(AGENT, *words, given="198.51.100.1\n")
    assert (status, said) == (0, "")
    assert '"target":"198.51.100.1"' in told


@pytest.mark.parametrize(("words", "files"), [(TRACE, 6), (TRACE, 12), (TRACE, 15), (RUN, 20)])
def test_too_few_descriptors_are_named(words: list[str], files: int) -> None:
    status, _, said = run("prlimit", f"--nofile={files}", AGENT, *words, before=(LOOPBACK,))
    assert status == 2
    (line,) = said.splitlines()
    assert "ulimit -n" in line


def test_twenty_descriptors_are_enough_for_a_trace() -> None:
    status, _, said = run("prlimit", "--nofile=20", AGENT, *TRACE, before=(LOOPBACK,))
    assert (status, said) == (0, "")


UNREACHED = {
    "one": ([*TRACE, "198.51.100.2"], ""),
    "file as lines": ([*TRACE, "--targets-file", "-"], "198.51.100.2\n"),
    "file as tables": (["trace", *TRACE[2:-1], "--targets-file", "-"], "198.51.100.2\n"),
}


@pytest.mark.parametrize("form", UNREACHED)
def test_unreached_target_fails_only_with_fail_unreached(form: str) -> None:
    words, given = UNREACHED[form]
    words = [*words, "--wait-time", "0.1"]
    assert run(AGENT, *words, before=(LOOPBACK,), given=given)[0] == 0
    assert run(AGENT, *words, "--fail-unreached", before=(LOOPBACK,), given=given)[0] == 1


def test_reached_targets_do_not_fail() -> None:
    words = [*TRACE, "--targets-file", "-", "--fail-unreached"]
    assert run(AGENT, *words, before=(LOOPBACK,), given="198.51.100.1\n")[0] == 0
