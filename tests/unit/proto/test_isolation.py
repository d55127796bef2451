"""Which entries of an import path stay."""

import subprocess
import sys
from pathlib import Path

import pytest
from colotrace_proto import isolation

BIN = Path(sys.executable).parent
# Modules that the programs import early, lazily, from the standard library and from elsewhere.
SHADOWED = ("random", "logging", "socket", "typing", "typer", "numpy", "structlog")
PROGRAMS = {
    "colotrace-agent": ["trace", "no host"],
    "colotrace-coordinator": ["serve", "--insecure"],
    "colotrace": ["trace", "example.net"],
}
PROBE = """
import sys
from colotrace_proto.isolation import isolate
isolate()
print(*sys.path, sep=":")
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working directory whose modules leave a mark when they are imported."""
    for name in SHADOWED:
        (tmp_path / f"{name}.py").write_text("open('imported', 'a').close()\n")
    return tmp_path


@pytest.mark.parametrize("given", ["", ".", ":/nonexistent", "{cwd}"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_import_nothing_from_the_working_directory(
    hostile: Path, program: str, given: str
) -> None:
    environment = {"PYTHONPATH": given.format(cwd=hostile), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [BIN / program, *PROGRAMS[program]],
        cwd=hostile,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (hostile / "imported").exists()
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["colotrace_agent", "colotrace_coordinator", "colotrace_cli"])
def test_started_by_module_nothing_comes_from_the_working_directory(
    hostile: Path, module: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"],
        cwd=hostile,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (hostile / "imported").exists()


def path_of(cwd: Path, *options: str, **environment: str) -> list[str]:
    """`sys.path` of an interpreter that was isolated."""
    done = subprocess.run(
        [sys.executable, *options, "-c", PROBE],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().split(":")


def test_no_relative_entry_and_no_pythonpath_stays(tmp_path: Path) -> None:
    found = path_of(tmp_path, PYTHONPATH=f"{tmp_path}:relative:")
    assert str(tmp_path) not in found
    assert all(entry.startswith("/") for entry in found)


def test_an_isolated_interpreter_keeps_its_path(tmp_path: Path) -> None:
    assert path_of(tmp_path, "-I") == path_of(tmp_path)


def test_pythonpath_stays_if_the_programs_come_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation by `pip --target` depends on it."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:/libraries")
    path = ["", str(tmp_path), "/libraries", "/usr/lib/python3"]
    assert isolation.trusted(path, own=str(tmp_path)) == path[1:]
    assert isolation.trusted(path, own="/usr/lib/python3") == path[3:]
