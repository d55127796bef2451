"""Which entries of an import path stay."""

import subprocess
import sys
from pathlib import Path

import pytest
from colotrace_proto import isolation

PROBE = """
import sys
from colotrace_proto.isolation import isolate
isolate()
print(*sys.path, sep=":")
"""


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
