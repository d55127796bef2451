"""What the host or the installation lacks becomes words and exit code 2."""

import errno
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from colotrace_proto.starting import Program, explain, install_line

PROGRAM = Program(name="colotrace-agent", extra="agent", address_space=0)


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


@pytest.mark.parametrize(("up", "code"), [("", 2), ("starting.mark_started()", 1)])
def test_a_fault_after_the_start_may_pass(tmp_path: Path, up: str, code: int) -> None:
    """Exit code 2 would keep systemd from starting a program again that has run for weeks."""
    package = tmp_path / "colotrace_late"
    package.mkdir()
    (package / "main.py").write_text(
        f"from colotrace_proto import starting\ndef main():\n    {up or 'pass'}\n"
        "    raise MemoryError\n"
    )
    run = (
        "from colotrace_proto.starting import Program, start;"
        "start(Program(name='x', extra='late', address_space=0))"
    )
    argv = [sys.executable, "-c", run]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("Traceback" in done.stderr) == bool(up)
