"""The programs start in hostile directories and incomplete environments."""

import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from colotrace_proto.starting import install_line

BIN = Path(sys.executable).parent
# Modules that the programs import early or lazily, from the standard library and from packages.
SHADOWED = ("random", "logging", "socket", "typing", "typer", "numpy", "structlog")
STARTS = {
    "agent": ([BIN / "colotrace-agent", "trace", "no host"], ":/nonexistent"),
    "agent in PYTHONPATH's folder": ([BIN / "colotrace-agent", "trace", "no host"], "{cwd}"),
    "coordinator": ([BIN / "colotrace-coordinator", "serve", "--insecure"], "."),
    "command": ([BIN / "colotrace", "trace", "example.net"], "{cwd}:"),
    "agent by -m": ([sys.executable, "-m", "colotrace_agent", "trace", "no host"], ""),
    "coordinator by -m": ([sys.executable, "-m", "colotrace_coordinator", "token", "list"], ""),
    "command by -m": ([sys.executable, "-m", "colotrace_cli", "colos"], ""),
}
# A program in an environment that lacks one package of its extra.
MISSING = {
    "colotrace_agent": (
        "structlog",
        *("run", "--colo", "tst01", "--city", "x", "--insecure", "--coordinator", "127.0.0.1:1"),
    ),
    "colotrace_coordinator": ("sqlalchemy", "token", "list", "--data", "/nowhere"),
    "colotrace_cli": ("typer", "colos"),
}


@pytest.mark.parametrize("start", STARTS)
def test_nothing_is_imported_from_the_working_directory(tmp_path: Path, start: str) -> None:
    for name in SHADOWED:
        (tmp_path / f"{name}.py").write_text("open('imported', 'a').close()\n")
    argv, path = STARTS[start]
    environment = {"PYTHONPATH": path.format(cwd=tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert not (tmp_path / "imported").exists()
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", MISSING)
def test_missing_package_names_the_extra_and_a_command_that_installs_it(package: str) -> None:
    module, *words = MISSING[package]
    program = (
        f"import sys; sys.modules[{module!r}] = None; from {package}.__main__ import main; main()"
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


def test_install_command_is_valid_for_pip() -> None:
    """Everything is installed, so pip needs no network."""
    line = [*shlex.split(install_line("postgres", "mqtt")), "--no-index", "--dry-run", "-q"]
    subprocess.run(line, check=True, capture_output=True)


SERVE = ["colotrace-coordinator", "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
ASK = ["colotrace", "colos", "--url", "http://127.0.0.1:1", "--token", "x", "--account", "x"]
LIMITED = [
    (SERVE, resource.RLIMIT_NOFILE, 20),
    (SERVE, resource.RLIMIT_AS, 200 << 20),
    (["colotrace-coordinator", "token", "create", "--account", "x"], resource.RLIMIT_NOFILE, 10),
    (ASK, resource.RLIMIT_NOFILE, 12),
    (ASK, resource.RLIMIT_AS, 40 << 20),
]


@pytest.mark.parametrize(("argv", "limit", "value"), LIMITED)
def test_too_small_limit_is_named(tmp_path: Path, argv: list[str], limit: int, value: int) -> None:
    """Without a traceback, and without an abort by a library."""
    program, *words = argv
    settings = {"COLOTRACE_DATA": str(tmp_path), "COLOTRACE_INSECURE": "1"}
    done = subprocess.run(
        [BIN / program, *words],
        env=os.environ | settings,
        preexec_fn=lambda: resource.setrlimit(limit, (value, value)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert ("ulimit -n" if limit == resource.RLIMIT_NOFILE else "ulimit -v") in line
