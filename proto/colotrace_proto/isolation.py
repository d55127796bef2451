"""Which folders Python may import from: the installation's, never the working directory.

Programs of this project are started by root, often in a folder that others can write to. Python
puts up to three kinds of folders before its own on `sys.path`: the working directory (`-m`, `-c`,
an empty entry of PYTHONPATH) or the script's folder, then those of PYTHONPATH, and the user's own
site-packages, which sudo may leave to be those of another user.
"""

# pathlib would have to be imported:
# ruff: noqa: PTH100, PTH117, PTH120

# Only what every interpreter has already imported when it starts: nothing of these is searched for.
import os
import site
import sys

_OWN = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
"""The folder that this package was imported from."""


def isolate(own: str = _OWN) -> None:
    """Remove from `sys.path` every entry that the installation does not need.

    Entries of PYTHONPATH, and the user's site-packages, stay if the programs themselves (`own`)
    were imported from there: such an installation depends on them. Relative entries never stay.
    """
    sys.path[:] = trusted(sys.path, own=own)


def trusted(path: list[str], *, own: str = _OWN) -> list[str]:
    """The entries of an import path that `isolate` keeps, in their order."""
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
