"""Compiles the C programs at first use, and again when their source has changed."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench import ROOT
from bench.figures import BenchError

HERE = Path(__file__).parent
_COMPILER = "cc"
_FLAGS = ("-O2", "-std=gnu17", "-Wall", "-Wextra", "-Wconversion")
_BUILT = ROOT / "bench" / "results" / "bin"


def missing() -> str | None:
    """Why nothing can be compiled here, with the remedy; None if it can."""
    if shutil.which(_COMPILER) is None:
        return "no C compiler: sudo apt-get install -y gcc libc6-dev"
    return None


def require() -> None:
    """Raise BenchError if nothing can be compiled."""
    reason = missing()
    if reason:
        raise BenchError(reason)


def program(name: str, *sources: str, directory: Path = HERE) -> Path:
    """The path of a program compiled from these sources."""
    return _compiled(name, tuple(directory / source for source in sources), ())


def library() -> Path:
    """The path of `answer.c` as a shared library, for use without a device."""
    return _compiled("answer.so", (HERE / "answer.c",), ("-shared", "-fPIC"))


@functools.cache
def _compiled(name: str, sources: tuple[Path, ...], more: tuple[str, ...]) -> Path:
    require()
    digest = hashlib.sha256(repr((_FLAGS, more, os.uname().machine)).encode())
    for path in (*sorted(HERE.glob("*.h")), *sources):
        digest.update(path.read_bytes())
    built = _directory() / f"{digest.hexdigest()[:16]}-{name}"
    if built.exists():
        return built
    # Processes may compile concurrently: an atomic rename never leaves a partial file.
    with tempfile.NamedTemporaryFile(dir=built.parent, delete=False) as stream:
        unfinished = Path(stream.name)
    try:
        done = subprocess.run(
            [_COMPILER, *_FLAGS, *more, "-o", unfinished, *sources],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(
                f"{name} cannot be compiled (with gcc and no libc6-dev: "
                f"sudo apt-get install -y libc6-dev):\n{done.stderr.strip()}"
            )
        unfinished.replace(built)
    finally:
        unfinished.unlink(missing_ok=True)
    return built


def _directory() -> Path:
    """The directory of compiled programs: among the results, or a temporary one."""
    try:
        _BUILT.mkdir(parents=True, exist_ok=True)
        if os.access(_BUILT, os.W_OK):
            return _BUILT
    except OSError:
        pass
    return _of_this_process()


@functools.cache
def _of_this_process() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="colotrace-bench-")
    _kept.append(directory)  # removed when this process ends
    return Path(directory.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []
