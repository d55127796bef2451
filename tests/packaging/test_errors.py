"""The tree of a program's exceptions is drawn as it is."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

PROGRAMS = ["colotrace_agent", "colotrace_coordinator", "colotrace_cli"]


def drawn(text: str) -> dict[str, str]:
    """Each exception's base, by the indentation of the drawing."""
    bases: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        name = line.lstrip(" │├└─").split(" ")[0]
        if not line.startswith("    ") or not name.endswith("Error"):
            continue
        column = line.index(name)
        above = [each for each in above if each[0] < column]
        bases[name] = above[-1][1] if above else "Exception"
        above.append((column, name))
    return bases


def defined(root: Path) -> dict[str, str]:
    """The base of each exception that the program defines, but the API's table."""
    found = {
        node.name: base.id
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    return {name: base for name, base in found.items() if base != "ApiError"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_exception_is_drawn_below_its_base(program: str) -> None:
    errors = import_module(f"{program}.errors")
    assert errors.__doc__ is not None
    assert errors.__file__ is not None
    assert drawn(errors.__doc__) == defined(Path(errors.__file__).parent)
