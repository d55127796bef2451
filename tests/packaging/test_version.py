"""The version is in pyproject.toml alone; other files that name it agree with it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PACKAGES = ("agent", "analysis", "cli", "coordinator", "formats", "proto")

NAMED = re.compile(
    r"""(?x)
      "version":\s*"(\d+\.\d+\.\d+)"             # an agent's version in an example
    | ^(?:version|appVersion):\s*"?(\d+\.\d+\.\d+)"?\s*$  # a chart
    | \bcolotrace(?:-agent|-coordinator)?[-_=:@ ]+v?(\d+\.\d+\.\d+)  # a file, an image, a command
    """,
    re.MULTILINE,
)


def _files():
    for folder in ("deploy", "docs", "scripts", *PACKAGES):
        for path in sorted((ROOT / folder).rglob("*")):
            names = path.relative_to(ROOT).parts
            if path.is_file() and not {"vendor", "pictures", "adr", "__pycache__"} & set(names):
                yield path
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile"))


def _named():
    """(place, version) of each version of colotrace that a file names."""
    for path in _files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for found in NAMED.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}", next(filter(None, found.groups()))


def test_files_name_the_version_of_pyproject():
    """Examples in docs and in the API's description, charts, commands."""
    named = list(_named())
    assert len(named) >= 2
    assert [(place, version) for place, version in named if version != VERSION] == []


def test_changelog_begins_with_the_version():
    """The newest section; an [Unreleased] one may stand above it after the release."""
    headings = re.findall(r"(?m)^## \[(.+?)\](?: - (.+))?$", (ROOT / "CHANGELOG.md").read_text())
    name, date = next(each for each in headings if each[0] != "Unreleased")
    assert name == VERSION
    assert date == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", date)


def test_no_module_defines_a_version():
    """Programs read it from the installed distribution."""
    defining = re.compile(r"(?m)^__version__ *=")
    assert [
        path for path in _files() if path.suffix == ".py" and defining.search(path.read_text())
    ] == []
