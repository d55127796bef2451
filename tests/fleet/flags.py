"""Command lines for programs of other releases, which do not know every flag of today's."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OWN = Path(sys.executable).parent
"""The folder of this checkout's programs."""


def fitting(argv: Sequence[str | Path]) -> list[str | Path]:
    """The command line without the flags that this program does not know, and their values."""
    program, command, *words = argv
    if Path(program).parent == OWN:
        return list(argv)
    known, kept, takes = _known(Path(program), str(command)), [], True
    for word in words:
        if str(word).startswith("--"):
            takes = word in known
        if takes:
            kept.append(word)
    return [program, command, *kept]


@functools.cache
def _known(program: Path, command: str) -> frozenset[str]:
    wide = os.environ | {"COLUMNS": "400", "TERM": "dumb"}
    done = subprocess.run(
        [program, command, "--help"], env=wide, capture_output=True, text=True, check=True
    )
    return frozenset(re.findall(r"--[a-z0-9-]+", done.stdout))
