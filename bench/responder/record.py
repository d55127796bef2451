"""Reads the responder's ledger; the layout is that of `record.h`."""

from __future__ import annotations

import enum
import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

KEPT = 64
"""Number of bytes of a probe that are recorded."""

RECORD = np.dtype(
    [
        ("read_mono", "i8"),
        ("read_wall", "i8"),
        ("write_mono", "i8"),
        ("write_wall", "i8"),
        ("written_mono", "i8"),
        ("planned_mono", "i8"),
        ("unread_ns", "u4"),
        ("size", "u2"),
        ("fate", "u1"),
        ("hop", "u1"),
        ("packet", "u1", KEPT),
        ("unused", "V8"),
    ]
)
_TALLY = np.dtype(
    [
        ("capacity", "u8"),
        ("count", "u8"),
        ("fates", "u8", 8),
        ("written", "u8"),
        ("unwritten", "u8"),
        ("crowded_out", "u8"),
        ("busy_ns", "u8"),
    ]
)
_RECORDS_AT = 512


class Fate(enum.IntEnum):
    """How a packet was handled; see `answer.h`."""

    TIME_EXCEEDED = 0
    REACHED = 1
    SILENT = 2
    UNRELATED = 3
    WRONG_CHECKSUM = 4
    MALFORMED = 5


@dataclass(frozen=True, slots=True)
class Tally:
    """Counters of the responder."""

    fates: dict[Fate, int]
    probes: int
    written: int
    unwritten: int
    """Replies that the device refused."""
    crowded_out: int
    """Probes whose replies did not fit into the queue of delayed replies."""
    busy_s: float
    """Time of loop turns that read or wrote a packet."""


class Ledger:
    """Memory shared with the responder: a tally, and a record of each of its first probes."""

    def __init__(self, records: int) -> None:
        self.capacity = records
        size = _RECORDS_AT + records * RECORD.itemsize
        self.descriptor = os.memfd_create("responder-ledger")
        try:
            os.ftruncate(self.descriptor, size)
            self._memory = mmap.mmap(self.descriptor, size)
        except OSError:
            os.close(self.descriptor)
            raise
        self._tally = np.frombuffer(self._memory, _TALLY, 1)[0]
        self._records = np.frombuffer(self._memory, RECORD, records, _RECORDS_AT)

    @property
    def count(self) -> int:
        """Probes read so far."""
        return int(self._tally["count"])

    def records(self, *, since: int = 0) -> npt.NDArray[Any]:
        """A copy of the records from index `since` on."""
        return self._records[since : self.count].copy()

    def tally(self) -> Tally:
        """A copy of the tally."""
        read = self._tally
        return Tally(
            fates={fate: int(read["fates"][fate]) for fate in Fate},
            probes=int(read["count"]),
            written=int(read["written"]),
            unwritten=int(read["unwritten"]),
            crowded_out=int(read["crowded_out"]),
            busy_s=int(read["busy_ns"]) / 1e9,
        )

    def close(self) -> None:
        """Close the descriptor; the memory is freed with its last reference."""
        os.close(self.descriptor)
