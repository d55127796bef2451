#!/usr/bin/env python3
"""Builds the Debian packages: python scripts/deb [SUITE…]; results in dist/deb/SUITE.

What is in them is in deploy/debian. Two builds of one commit are byte-equal: every file has the
time of the commit (SOURCE_DATE_EPOCH, if set), and names are sorted.

It needs pip, dpkg-deb, and binutils for the machine that the packages are for. Debhelper is not
used, so that one host builds for both suites, with the same result (docs/adr/0029).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from archive import Archive
from environment import build_wheel, fill

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "deploy" / "debian"


def main(suites: list[str]) -> None:
    """Build all packages for these suites."""
    for program, package in (("dpkg-deb", "dpkg"), ("strip", "binutils"), ("readelf", "binutils")):
        if shutil.which(program) is None:
            sys.exit(f"deb: {program} is missing; run: apt-get install {package}")
    settings = tomllib.loads((DEBIAN / "packages.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    os.environ.setdefault("SOURCE_DATE_EPOCH", _commit_time())
    os.umask(0o022)
    for suite in suites or list(settings["suites"]):
        if suite not in settings["suites"]:
            sys.exit(f"deb: unknown suite {suite}; there are: {', '.join(settings['suites'])}")
    with tempfile.TemporaryDirectory() as temporary:
        wheel = build_wheel(ROOT, Path(temporary))
        for suite in suites or list(settings["suites"]):
            out = ROOT / "dist" / "deb" / suite
            out.mkdir(parents=True, exist_ok=True)
            for old in out.glob("*.deb"):
                old.unlink()
            for name, package in settings["packages"].items():
                archive = Archive(
                    name, package, settings=settings, suite=suite, version=project["version"]
                )
                stage = Path(temporary) / suite / name
                fill(
                    stage / "usr" / "lib" / name,
                    wheel=wheel,
                    package=package,
                    suite=settings["suites"][suite],
                    trim=settings["trim"],
                    requirements=ROOT / "requirements" / f"{package['requirements']}.txt",
                )
                print(archive.build(stage, out).relative_to(ROOT), flush=True)


def _commit_time() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1:])
