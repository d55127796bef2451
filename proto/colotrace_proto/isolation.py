"""Restricts imports to the installation's directories, never the working directory.

Root runs these programs, often in a directory that others can write to. Python may put three more
kinds of directories on `sys.path`: the working directory (`-m`, `-c`, an empty entry of PYTHONPATH)
or the script's directory; those of PYTHONPATH; and the user's site-packages, which under sudo may
be those of another user.
"""

# pathlib is not yet imported:
# ruff: noqa: PTH100, PTH117, PTH120

# Only modules that the interpreter has imported at its start, so none is searched on `sys.path`.
import os
import site
import sys

_OWN = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
"""The directory that this package was imported from."""


def isolate(own: str = _OWN) -> None:
    """Remove from `sys.path` every entry that the installation does not need.

    Entries of PYTHONPATH, and the user's site-packages, stay if the programs themselves (`own`)
    were imported from there: such an installation depends on them. Relative entries never stay.
    """
    sys.path[:] = trusted(sys.path, own=own)


def trusted(path: list[str], *, own: str = _OWN) -> list[str]:
    """The entries of an import path that `isolate` keeps, in order."""
    unwanted = set() if sys.flags.safe_path else set(path[:1])
    given = {os.path.abspath(entry) for entry in _from_environment()}
    user = {site.USER_SITE} if site.ENABLE_USER_SITE and site.USER_SITE else set()
    for group in (given, user):
        if not any(_same(entry, own) for entry in group):
            unwanted |= group
    return [
        entry
        for entry in path
        if os.path.isabs(entry) and (entry not in unwanted or _same(entry, own))
    ]


def _from_environment() -> list[str]:
    if sys.flags.ignore_environment or "PYTHONPATH" not in os.environ:
        return []
    return os.environ["PYTHONPATH"].split(os.pathsep)


def _same(entry: str, own: str) -> bool:
    return os.path.realpath(entry) == own
