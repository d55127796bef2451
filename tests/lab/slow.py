"""Makes one of the lab's lines long: packets take `delay_ms` from end to end of it, each way.

    with Lab() as lab, slow(lab, "sin4", "c2", delay_ms=10):
        ...

Hops and addresses stay as they were drawn. Afterwards the line is cut, so the lab is to be one's
own.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import namespaces, plan
from lab.delay import DEVICE, READY
from lab.network import Lab
from lab.topology import FAMILIES, address_of
from lab.truth import next_hops

_FORWARDER = Path(__file__).with_name("delay.py")
_READY_S = 5.0


@contextmanager
def slow(lab: Lab, left: str, right: str, *, delay_ms: float) -> Iterator[None]:
    """Routes what goes over the line between two neighbours through `delay`'s devices."""
    ends = {lab.namespace(left): (left, right), lab.namespace(right): (right, left)}
    files = [namespaces.DIRECTORY / space for space in ends]
    # Without site-packages, which it does not need and which would take it longer to start.
    argv = [sys.executable, "-I", "-S", _FORWARDER, *files, str(delay_ms)]
    forwarder = lab.spawn(None, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert forwarder.stdout is not None
        fd = forwarder.stdout.fileno()
        ready, _, _ = select.select([fd], [], [], _READY_S)
        assert ready, "the forwarder did not start"
        assert os.read(fd, 64) == READY, "the forwarder did not start"
        namespaces.in_each(ends, lambda space: namespaces.batch(_lines(*ends[space])))
        yield
    finally:
        forwarder.stop()


def _lines(name: str, peer: str) -> Iterator[str]:
    """Lines for ip(8) that send into the device whatever went straight to the neighbour."""
    yield f"link set {DEVICE} up"
    for family in FAMILIES:
        for prefix, at in plan.destinations(family=family):
            if next_hops(name, at) == (peer,):
                yield f"route replace {prefix} src {address_of(name, family=family)} dev {DEVICE}"
