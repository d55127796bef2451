"""The packages under test: those that `make deb` has built."""

from __future__ import annotations

from pathlib import Path

from installed.bases import CHECKOUT

NAMES = ("colotrace-agent", "colotrace-coordinator", "colotrace")


class NotBuiltError(RuntimeError):
    """A package is not there."""


def built(suite: str, *names: str) -> list[Path]:
    """The .deb files of these packages (default: all) for a suite, in the order of `names`.

    Raises NotBuiltError if one of them is missing or there are several versions of it.
    """
    found = []
    for name in names or NAMES:
        files = sorted((CHECKOUT / "dist" / "deb" / suite).glob(f"{name}_*.deb"))
        if len(files) != 1:
            raise NotBuiltError(f"{name} for {suite}: {len(files)} files; run: make deb")
        found += files
    return found
