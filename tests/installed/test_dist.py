"""`make dist`, in two clones of the commit that is checked out."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PROGRAMS = {
    "agent": "colotrace-agent",
    "coordinator": "colotrace-coordinator",
    "cli": "colotrace",
}

# One worker builds both.
pytestmark = [pytest.mark.xdist_group("dist"), pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Release:
    """A clone in which `make dist` was run."""

    clone: Path
    files: Mapping[str, bytes]
    """By name below dist/."""


def _clone(path: Path) -> Path:
    subprocess.run(["git", "clone", "-q", ROOT, path], check=True)
    return path


def _built(clone: Path, **environment: str) -> Release:
    done = subprocess.run(
        ["make", "dist"],
        cwd=clone,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    dist = clone / "dist"
    files = {
        str(path.relative_to(dist)): path.read_bytes() for path in dist.rglob("*") if path.is_file()
    }
    return Release(clone, files)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return _built(_clone(tmp_path_factory.mktemp("first") / "colotrace"))


def test_builds_in_two_folders_are_equal(release: Release, tmp_path: Path) -> None:
    """With another path, time, time zone, language and mask of permissions."""
    before = os.umask(0o077)
    try:
        clone = _clone(tmp_path / "a longer path" / "to another clone")
        time.sleep(1)  # so that times in seconds would differ
        other = _built(clone, TZ="Asia/Kathmandu", LANG="C.UTF-8", HOME=str(tmp_path))
    finally:
        os.umask(before)
    assert sorted(release.files) == sorted(other.files)
    different = [name for name in release.files if release.files[name] != other.files[name]]
    assert different == []


def test_release_has_all_parts_and_their_checksums(release: Release) -> None:
    names = {
        f"colotrace-{VERSION}-py3-none-any.whl",
        f"colotrace-{VERSION}.tar.gz",
        *(f"sbom/{program}.cdx.json" for program in PROGRAMS.values()),
    }
    debs = {name for name in release.files if name.startswith("deb/") and name.endswith(".deb")}
    for suite in ("bookworm", "trixie") if (ROOT / "scripts" / "deb").exists() else ():
        packages = {name.split("/")[2].split("_")[0] for name in debs if f"/{suite}/" in name}
        assert packages == set(PROGRAMS.values())
    assert names | debs | {"SHA256SUMS"} == set(release.files)
    sums = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in release.files.items()
        if name != "SHA256SUMS"
    }
    lines = release.files["SHA256SUMS"].decode().splitlines()
    assert lines == [f"{digest}  {name}" for name, digest in sorted(sums.items())]


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_bill_of_materials_is_valid_and_complete(release: Release, program: str) -> None:
    """Each pinned package with its version, hashes and licence; no time, no serial number."""
    text = release.files[f"sbom/{PROGRAMS[program]}.cdx.json"].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert "serialNumber" not in bill
    assert bill["metadata"]["component"]["version"] == VERSION
    held = {
        f"{each['name']}=={each['version']}": {one["content"] for one in each["hashes"]}
        for each in bill["components"]
        if each["purl"].startswith("pkg:pypi/")
    }
    pinned: dict[str, set[str]] = {}
    name = ""
    for line in (ROOT / "requirements" / f"{program}.txt").read_text().splitlines():
        if line.startswith("    --hash="):
            pinned[name].add(line.split(":")[1].removesuffix(" \\"))
        elif not line.startswith("#"):
            name = line.removesuffix(" \\").split(" ; ")[0]
            pinned[name] = set()
    assert held == pinned
    assert all(each["licenses"] for each in bill["components"])
    page = {each["name"] for each in bill["components"]} & {"lit-html", "dagre", "signals-core"}
    assert len(page) == (3 if program == "coordinator" else 0)


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_wheel_is_installed_with_its_hashes(release: Release, program: str, tmp_path: Path) -> None:
    """By the words of docs/guide.md. pip finds nothing missing, and the program starts."""
    environment = tmp_path / "colotrace"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [environment / "bin/pip", "--disable-pip-version-check"]
    wheel = release.clone / "dist" / f"colotrace-{VERSION}-py3-none-any.whl"
    pinned = environment / "share/colotrace/requirements" / f"{program}.txt"
    subprocess.run([*pip, "install", "-q", "--no-deps", wheel], check=True)
    subprocess.run([*pip, "install", "-q", "--require-hashes", "-r", pinned], check=True)
    subprocess.run([*pip, "check"], check=True)
    argv = [environment / "bin" / PROGRAMS[program]]
    done = subprocess.run([*argv, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == VERSION
    subprocess.run([*argv, "--help"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def refused(release: Release) -> Iterator[Release]:
    """The clone, to be changed and built again; it is put in order afterwards."""
    yield release
    subprocess.run(["git", "tag", "-d", "v9.9.9"], cwd=release.clone, check=False)
    subprocess.run(["git", "clean", "-qfd"], cwd=release.clone, check=True)


def _refusal(release: Release) -> str:
    done = subprocess.run(
        ["scripts/dist"], cwd=release.clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr


def test_uncommitted_changes_are_refused(refused: Release) -> None:
    (refused.clone / "deploy" / "new.conf").write_text("x\n")
    assert "?? deploy/new.conf" in _refusal(refused)


def test_tag_of_another_version_is_refused(refused: Release) -> None:
    subprocess.run(["git", "tag", "v9.9.9"], cwd=refused.clone, check=True)
    assert "has the tag v9.9.9" in _refusal(refused)
