"""Kernel time stamps alone: the error without a prober.

They have the same clock as the responder's records. So the error has two known parts: from the send
stamp to the responder's read, and from its write to the receive stamp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.accuracy.engine import Inside
from bench.accuracy.errors import Errors
from bench.accuracy.join import Reported, by_sequence, join
from bench.responder import Responder

_INSIDE = Path(__file__).with_name("inside_stamps.py")
_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True)
class Stamps:
    """Echo requests, `probes` at once."""

    probes: int
    inside: Inside = field(repr=False)
    label: str = "kernel stamps alone"
    package: str = ""
    command: str = "echo requests on a raw socket, SO_TIMESTAMPING and SO_TIMESTAMPNS"
    note: str = "the limit of the method, not a tool"

    def collect(self, responder: Responder, errors: Errors) -> None:
        """Add about a hundred samples."""
        times = -(-100 // self.probes)
        since = responder.count
        stamps = self.inside.driver(responder).call(
            target=responder.target, probes=self.probes, times=times, pause_s=_PAUSE_S
        )["stamps"]
        records = responder.records(since=since)
        reported = [Reported(number, (back - out) / 1e3) for number, out, back in stamps]
        rtts, found = join(reported, records, by_sequence)
        there = errors.add(rtts, found)
        errors.lost += times * self.probes - len(rtts)
        if len(found) == len(stamps):
            sent, received = np.array(stamps)[:, 1], np.array(stamps)[:, 2]
            errors.out.append((found["read_wall"] - sent)[there] / 1e3)
            errors.back.append((received - found["write_wall"])[there] / 1e3)


def inside_stamps() -> Inside:
    """The process for `Stamps`."""
    return Inside(_INSIDE)
