"""The wheel has the files that the programs need at run time, and no others."""

import configparser
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

# One worker builds the wheel.
pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "colotrace_proto": ROOT / "proto",
    "colotrace_analysis": ROOT / "analysis",
    "colotrace_formats": ROOT / "formats",
    "colotrace_agent": ROOT / "agent",
    "colotrace_coordinator": ROOT / "coordinator",
    "colotrace_cli": ROOT / "cli",
}
# Metadata, and what is installed below share/.
OTHER = re.compile(r"\.(dist-info|data)/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout without the network."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-index", "--no-build-isolation", "--no-cache-dir"),
            *("--disable-pip-version-check", "--wheel-dir", str(out), str(ROOT)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    (path,) = out.glob("colotrace-*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_every_file_of_the_packages_is_in_it(wheel):
    """Sources, stubs, protocol, type markers, migrations and pages, of all packages."""
    held = {name for name in wheel.namelist() if not OTHER.search(name)}
    wanted = {
        str(path.relative_to(root))
        for package, root in PACKAGES.items()
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted


@pytest.mark.parametrize(
    "name",
    [
        *(f"{package}/py.typed" for package in PACKAGES),
        "colotrace_proto/v1/fleet.proto",
        "colotrace_proto/v1/fleet_pb2.py",
        "colotrace_proto/v1/fleet_pb2.pyi",
        "colotrace_proto/v1/fleet_pb2_grpc.py",
        "colotrace_coordinator/store/migrations/env.py",
    ],
)
def test_files_that_are_not_imported_are_in_it(wheel, name):
    """Files that no import would miss."""
    assert name in wheel.namelist()


def test_it_has_the_three_programs_and_the_licence(wheel):
    """Entry points and licence."""
    by_end = {
        name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name
    }
    points = configparser.ConfigParser()
    points.read_string(wheel.read(by_end["entry_points.txt"]).decode())
    assert dict(points["console_scripts"]) == {
        "colotrace": "colotrace_cli.__main__:main",
        "colotrace-agent": "colotrace_agent.__main__:main",
        "colotrace-coordinator": "colotrace_coordinator.__main__:main",
    }
    assert "licenses/LICENSE" in by_end


def test_it_has_the_pinned_dependencies_of_each_program(wheel):
    """They are installed below share/colotrace."""
    held = {
        name.split(".data/")[1]: wheel.read(name) for name in wheel.namelist() if ".data/" in name
    }
    files = sorted((ROOT / "requirements").iterdir())
    assert [path.stem for path in files] == ["agent", "cli", "coordinator"]
    assert held == {
        f"data/share/colotrace/requirements/{path.name}": path.read_bytes() for path in files
    }
