"""Matches the responder's records to reported RTTs.

Tools run one after another, so a slice of the records belongs to one run of one tool. Within it a
probe is identified by the fields that the tool prints: its ICMP sequence number, or its TTL and its
position among the probes of that TTL.
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
    """A reported RTT; `key` identifies the probe as in one of the functions below."""

    key: Hashable
    rtt_us: float


Keys = Callable[[npt.NDArray[Any]], list[Hashable]]


def by_sequence(records: npt.NDArray[Any]) -> list[Hashable]:
    """The ICMP sequence number of each record."""
    at = records["packet"][:, _SEQUENCE_AT : _SEQUENCE_AT + 2].astype(int)
    return [int(number) for number in at[:, 0] * 256 + at[:, 1]]


def by_ttl(records: npt.NDArray[Any]) -> list[Hashable]:
    """The TTL of each record, and the number of earlier records with that TTL."""
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
    """The RTTs that have a record, in µs, with the records.

    Records with an ambiguous key, and records without a written reply, are not used.
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
    """Join the replies of a trace, as (TTL, nanoseconds) with one probe for each TTL, with the
    records between its start and end."""
    within = (records["read_mono"] >= began) & (records["read_mono"] <= ended)
    reported = [Reported((ttl, 0), rtt_ns / 1e3) for ttl, rtt_ns in replies]
    return join(reported, records[within], by_ttl)
