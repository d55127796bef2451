"""Tests use no private names of the programs they test."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
# Methods of named tuples and os._exit are public in spite of their names.
PUBLIC = {"_replace", "_make", "_asdict", "_fields", "_exit"}
# File -> private names still in use. conftest: pytest-xdist writes a group's name where pytest
# does not look, and there is no public way to copy it. forked/serve.py: os._exit skips the exit
# functions, and the interpreter has no public way to run them. load/steps.py: asyncio's loop has no
# public hook around its callbacks.
# The others lack a public seam: remove an entry with the last use; add none.
ALLOWED: dict[str, set[str]] = {
    "conftest.py": {"_id", "_nodeid"},
    "forked/serve.py": {"_run_exitfuncs"},
    "load/steps.py": {"_callback", "_run"},
}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def names(tree: ast.AST) -> Iterator[str]:
    """Private attributes of other objects, private imports, and private names that are patched."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name):
                yield name
            case ast.ImportFrom(names=imported):
                yield from (each.name for each in imported)
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=args) if (
                called in {"setattr", "getattr", "delattr", "patch", "object"}
            ):
                for each in args:
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        yield from each.value.split(".")


def test_private_names_in_use_are_those_listed() -> None:
    """Listed names are in use, too."""
    found = {
        str(path.relative_to(TESTS)): set(filter(private, names(ast.parse(path.read_text()))))
        for path in TESTS.rglob("*.py")
    }
    assert {path: used for path, used in found.items() if used} == ALLOWED
