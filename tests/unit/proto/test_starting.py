"""What the host or the installation lacks becomes words and exit code 2."""

import errno
import shlex
import subprocess
import sys
from importlib import metadata

import pytest
from colotrace_proto.starting import Program, explain, install_line

PROGRAM = Program(name="colotrace-agent", module="colotrace_agent.main", extra="agent")

# A program in an environment without one package of its own extra.
MISSING = {
    "colotrace_agent": ("structlog", ["run", "--colo", "tst01", "--city", "x", "--insecure"]),
    "colotrace_coordinator": ("sqlalchemy", ["token", "list", "--data", "/nonexistent"]),
    "colotrace_cli": ("typer", ["colos"]),
}


@pytest.mark.parametrize("package", MISSING)
def test_a_missing_package_names_the_extra_and_a_line_that_installs_it(package: str) -> None:
    module, words = MISSING[package]
    if package == "colotrace_agent":
        words = [*words, "--coordinator", "127.0.0.1:1"]
    program = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'x'; "
        f"from {package}.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    extra = package.removeprefix("colotrace_")
    assert f"'{module}'" in line
    assert f"'{extra}'" in line
    assert line.endswith(f"run: {install_line(extra)}")


@pytest.mark.parametrize("extra", ["agent", "coordinator", "cli", "mqtt", "postgres"])
def test_the_install_line_names_all_packages_of_an_extra(extra: str) -> None:
    """By their own names: pip would not find colotrace on an index."""
    words = shlex.split(install_line(extra))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    wanted = [
        line.partition(";")[0].strip()
        for line in metadata.requires("colotrace") or []
        if f"extra == '{extra}'" in line
    ]
    assert words[4:] == wanted
    assert wanted


def test_the_install_line_is_one_that_pip_takes() -> None:
    """Everything is installed here, so pip has nothing to look up."""
    line = [*shlex.split(install_line("postgres", "mqtt")), "--no-index", "--dry-run", "-q"]
    subprocess.run(line, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (MemoryError(), "ulimit -v"),
        (ImportError("libx.so: failed to map segment from shared object"), "ulimit -v"),
        (ExceptionGroup("tasks", [OSError(errno.ENFILE, "Too many")]), "fs.file-max"),
    ],
)
def test_what_the_host_refuses_has_a_remedy(error: Exception, remedy: str) -> None:
    words = explain(error, PROGRAM)
    assert words is not None
    assert remedy in words


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a fault"),
        KeyError("x"),
        OSError(errno.EIO, "Input/output error"),
        ModuleNotFoundError("No module named 'colotrace_agent.x'", name="colotrace_agent.x"),
    ],
)
def test_a_fault_of_the_program_has_none(error: Exception) -> None:
    assert explain(error, PROGRAM) is None
