"""Which of the responder's records is of which reported RTT.

A slice of the records holds one run of one tool and nothing else, for tools run one after another.
Within it a probe is known by what the tool prints of it: its ICMP sequence number, or its TTL and
which of that TTL's probes it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_SEQUENCE_AT = 26  # IPv4's header of 20 bytes, ICMP's sequence at 6 (RFC 792)
_TTL_AT = {4: 8, 6: 7}


class Reported(NamedTuple):
    """What a tool says of one probe; `key` as one of the functions below has it."""

    key: Hashable
    rtt_us: float


Keys = Callable[[npt.NDArray[Any]], list[Hashable]]


def by_sequence(records: npt.NDArray[Any]) -> list[Hashable]:
    """Each record's ICMP sequence number."""
    at = records["packet"][:, _SEQUENCE_AT : _SEQUENCE_AT + 2].astype(int)
    return [int(number) for number in at[:, 0] * 256 + at[:, 1]]


def by_ttl(records: npt.NDArray[Any]) -> list[Hashable]:
    """Each record's TTL as sent, and how many of that TTL were read before it."""
    before: Counter[int] = Counter()
    keys: list[Hashable] = []
    for packet in records["packet"]:
        ttl = int(packet[_TTL_AT[int(packet[0]) >> 4]])
        keys.append((ttl, before[ttl]))
        before[ttl] += 1
    return keys


def join(
    reported: Iterable[Reported], records: npt.NDArray[Any], keys: Keys
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """The RTTs that have a record, in µs, and each one's record.

    A record that two could claim, or of a reply that was not written, is nobody's.
    """
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys(records)):
        places.setdefault(key, []).append(place)
    pairs = [
        (each.rtt_us, found[0])
        for each in reported
        if len(found := places.get(each.key, [])) == 1 and records["written_mono"][found[0]]
    ]
    rtts = np.array([rtt for rtt, _ in pairs], dtype=np.float64)
    return rtts, records[np.array([place for _, place in pairs], dtype=int)]


def of_trace(
    replies: Iterable[tuple[int, int]], records: npt.NDArray[Any], *, began: int, ended: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """RTTs of a trace, as (TTL, nanoseconds) with one probe a TTL, and the records of its time."""
    within = (records["read_mono"] >= began) & (records["read_mono"] <= ended)
    reported = [Reported((ttl, 0), rtt_ns / 1e3) for ttl, rtt_ns in replies]
    return join(reported, records[within], by_ttl)
