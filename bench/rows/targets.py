"""Files of random targets out of a responder's network, which answers for any address."""

from __future__ import annotations

import ipaddress
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# 10.0.0.0/8: nobody but the responder has it, and it answers for all of it.
_FIRST, _BITS = 0x0A000000, 24


def draw(count: int) -> list[str]:
    """So many addresses, each another one, other ones each time."""
    return [
        str(ipaddress.IPv4Address(_FIRST + number))
        for number in random.sample(range(1, 1 << _BITS), count)
    ]


@contextmanager
def listed(count: int) -> Iterator[Path]:
    """A file of them, in a directory that goes with what else is put there."""
    with tempfile.TemporaryDirectory(prefix="colotrace-bench-") as directory:
        path = Path(directory, "targets")
        path.write_text("".join(f"{target}\n" for target in draw(count)))
        yield path
