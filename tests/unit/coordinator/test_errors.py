"""The tree of exceptions is drawn as it is."""

import ast
from pathlib import Path

from colotrace_coordinator import errors

ROOT = Path(errors.__file__).parent


def drawn() -> dict[str, str]:
    """Each exception's base, by the indentation of the drawing."""
    assert errors.__doc__ is not None
    bases: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        name = line.lstrip(" │├└─").split(" ")[0]
        if not line.startswith("    ") or not name.endswith("Error"):
            continue
        column = line.index(name)
        above = [each for each in above if each[0] < column]
        bases[name] = above[-1][1] if above else "Exception"
        above.append((column, name))
    return bases


def defined() -> dict[str, str]:
    """The base of each exception that the coordinator defines, but the API's table."""
    found = {
        node.name: base.id
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    return {name: base for name, base in found.items() if base != "ApiError"}


def test_every_exception_is_drawn_below_its_base() -> None:
    assert drawn() == defined()
