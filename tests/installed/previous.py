"""The previous release: its commits, and its programs in an environment of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_VERSION = re.compile(r'(?m)^version = "(.+)"$')


@dataclass(frozen=True, slots=True)
class Release:
    """A release that is installed."""

    name: str
    programs: Path
    """The folder of its commands."""
    enrols: bool
    """Whether its agents join by tokens."""
    keeps: bool
    """Whether its coordinator keeps measurements."""


def commits() -> dict[str, str]:
    """By name: the commits to upgrade from.

    That is the newest tag `v*` of another version than today's. Without tags it is the commit that
    set the version before today's, and the last one that had it: after a release, both changes of
    many commits and of few are upgraded.
    """
    today = _version("")
    for tag in _git("tag", "--merged", "HEAD", "--list", "v*", "--sort=-version:refname").split():
        if _version(tag) != today:
            return {tag: tag}
    changes = _git("log", "--format=%H", "-G^version = ", "--", "pyproject.toml").split()
    others = [commit for commit in changes if _version(commit) != today]
    if not others:
        return {}
    version = _version(others[0])
    first = [commit for commit in others if _version(commit) == version][-1]
    found = {f"{version}, as released": first}
    newer = changes[: changes.index(others[0])]
    last = _git("rev-parse", f"{newer[-1]}^" if newer else "HEAD").strip()
    if last != first:
        found[f"{version}, last commit"] = last
    return found


@contextmanager
def installed(name: str, commit: str) -> Iterator[Release]:
    """The release with the versions that it pins, until the end of the context."""
    folder = Path(tempfile.mkdtemp(prefix="colotrace-previous-"))
    folder.chmod(0o755)  # agents run as another user
    try:
        source = folder / "source"
        source.mkdir()
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", source], input=archive.stdout, check=True)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run(
            [
                *(folder / "venv/bin/pip", "install", "-q", "--disable-pip-version-check"),
                *("-c", "constraints.txt", ".[agent,coordinator,cli,mqtt,postgres]"),
            ],
            cwd=source,
            check=True,
        )
        packages = source / "coordinator/colotrace_coordinator"
        yield Release(
            name=name,
            programs=folder / "venv/bin",
            enrols=(packages / "enrolment").exists(),
            keeps=(packages / "measurements").exists(),
        )
    finally:
        shutil.rmtree(folder)


def _version(commit: str) -> str:
    """That of the checkout for an empty commit."""
    if commit:
        text = _git("show", f"{commit}:pyproject.toml")
    else:
        text = (ROOT / "pyproject.toml").read_text()
    found = _VERSION.search(text)
    return found[1] if found else ""


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout
