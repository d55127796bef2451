"""Files of random targets in the responder's network, which answers for any address."""

from __future__ import annotations

import ipaddress
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# 10.0.0.0/8, which only the responder uses here.
_FIRST, _BITS = 0x0A000000, 24


def draw(count: int) -> list[str]:
    """`count` different random addresses."""
    return [
        str(ipaddress.IPv4Address(_FIRST + number))
        for number in random.sample(range(1, 1 << _BITS), count)
    ]


@contextmanager
def listed(count: int) -> Iterator[Path]:
    """A file with random targets, in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="colotrace-bench-") as directory:
        path = Path(directory, "targets")
        path.write_text("".join(f"{target}\n" for target in draw(count)))
        yield path
