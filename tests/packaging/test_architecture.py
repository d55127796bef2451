"""docs/architecture.md shows the real tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
TREE = re.search(r"## The tree\n\n```text\n(.*?)```", PAGE, re.DOTALL)
PARTS = ("proto", "analysis", "formats", "agent", "coordinator", "cli")


def drawn() -> dict[str, set[str]]:
    """The entries below each package in the drawing; a line may have several."""
    assert TREE is not None
    found: dict[str, set[str]] = {}
    package = ""
    for line in TREE[1].splitlines():
        names = re.split(r"\s{2,}", line.strip())[0]
        if line.startswith(" "):
            found[package].update(names.split(", "))
        else:
            package = names
            found[package] = set()
    return found


def test_every_package_is_drawn() -> None:
    real = {
        f"{part}/{each.parent.name}/"
        for part in PARTS
        for each in (ROOT / part).glob("*/__init__.py")
    }
    assert set(drawn()) == real


@pytest.mark.parametrize("package", drawn())
def test_what_is_drawn_exists(package: str) -> None:
    """Directories with a slash, modules with their extension."""
    for name in drawn()[package]:
        path = ROOT / package / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), name


@pytest.mark.parametrize("package", [name for name, below in drawn().items() if below])
def test_every_folder_is_drawn(package: str) -> None:
    """All directories are in the drawing; modules may be."""
    folders = {
        f"{each.name}/" for each in (ROOT / package).iterdir() if (each / "__init__.py").is_file()
    }
    assert folders == {name for name in drawn()[package] if name.endswith("/")}


def test_every_named_file_exists() -> None:
    """Names in the text and in the table are ends of paths."""
    files = [
        str(each.relative_to(ROOT))
        for part in (*PARTS, "tests")
        for each in (ROOT / part).rglob("*.*")
    ]
    for name in re.findall(r"`([a-z_0-9/]+\.(?:py|proto|toml))`", PAGE):
        assert name == "pyproject.toml" or any(
            each.endswith(f"/{name}") or each == name for each in files
        ), name
