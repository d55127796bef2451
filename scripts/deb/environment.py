"""The Python environment inside a package: pinned wheels of other projects, and our modules."""

import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from packaging.markers import Marker

_PIP = [sys.executable, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check"]
_OLDEST_GLIBC = 5
_LIBRARY = b"\x7fELF"


def build_wheel(root: Path, out: Path) -> Path:
    """Our wheel, built from the checkout without the network."""
    subprocess.run(
        [
            *(*_PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir"),
            *("--wheel-dir", str(out), str(root)),
        ],
        check=True,
    )
    (wheel,) = out.glob("colotrace-*.whl")
    return wheel


def fill(
    target: Path,
    *,
    wheel: Path,
    package: dict[str, Any],
    suite: dict[str, str],
    trim: dict[str, list[str]],
    requirements: Path,
) -> None:
    """Install what the package's program needs into the directory, for the suite's interpreter."""
    target.mkdir(parents=True)
    wanted = target.with_suffix(".requirements")
    wanted.write_text(_for(suite["python"], requirements.read_text()))
    subprocess.run(
        [
            *(*_PIP, "install", "--target", str(target), "--no-compile", "--only-binary=:all:"),
            # Not what is in this interpreter's environment, which may be of other versions.
            *("--ignore-installed", "--no-warn-conflicts", "--root-user-action=ignore"),
            *("--implementation", "cp", "--python-version", suite["python"]),
            *(word for tag in _tags(suite["glibc"]) for word in ("--platform", tag)),
            *("--no-deps", "--require-hashes", "--requirement", str(wanted)),
        ],
        check=True,
    )
    wanted.unlink()
    with zipfile.ZipFile(wheel) as opened:
        for name in opened.namelist():
            top = name.partition("/")[0]
            if top in package["modules"] or top.endswith(".dist-info"):
                opened.extract(name, target)
    # Before the licences are gone: archive.py takes them from there.
    for path in _dropped(target, drop=trim["drop"], keep=trim["keep"]):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for path in sorted(target.rglob("*.so*")):
        _strip(path)


def _for(python: str, requirements: str) -> str:
    """The requirements whose conditions hold for that Python; pip would ask the running one."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": platform.machine(),
    }
    entries = requirements.replace("\\\n", "").splitlines(keepends=True)
    kept = []
    for entry in entries:
        pin, _, hashes = entry.partition("--hash")
        name, _, condition = pin.partition(";")
        if not condition.strip() or Marker(condition.strip()).evaluate(environment):
            kept.append(f"{name.strip()} --hash{hashes}" if hashes else entry)
    return "".join(kept)


def _strip(path: Path) -> None:
    """Leave out symbols for debuggers, as Debian does. Libraries into which auditwheel has written
    where they find others stay as they are: strip misaligns them, so that they cannot be loaded."""
    if path.read_bytes().startswith(_LIBRARY) and not path.name.startswith("lib"):
        dynamic = subprocess.run(
            ["readelf", "--dynamic", str(path)], check=True, capture_output=True, text=True
        ).stdout
        if "$ORIGIN" not in dynamic:
            subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)


def _tags(glibc: str) -> Iterator[str]:
    """Platform tags of wheels that run with this C library, the newest first."""
    machine = platform.machine()
    for minor in range(int(glibc.removeprefix("2.")), _OLDEST_GLIBC - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor == 17:
            yield f"manylinux2014_{machine}"


def _dropped(target: Path, *, drop: list[str], keep: list[str]) -> list[Path]:
    """The files and directories that match; nothing below a directory that is dropped anyway."""
    found: list[Path] = []
    for pattern in drop:
        for path in sorted(target.glob(pattern)):
            name = str(path.relative_to(target))
            kept = any(fnmatchcase(name, each) for each in keep)
            if not kept and not any(above in found for above in path.parents):
                found.append(path)
    return [path for path in found if not any(above in found for above in path.parents)]
