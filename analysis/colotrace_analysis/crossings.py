"""Which rows cross which addresses and links.

A silent hop counts as if it had answered in a healthy row: such a row, with silence between two
addresses, is taken to cross everything that other rows met between the same two.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from .conditions import RatedRow
from .paths import Hop
from .work import Pace, Steps

Crossed = bytes | tuple[bytes, bytes]
"""An address or a link."""
_Gap = tuple[bytes, int, bytes]
"""Silence: the address before, the number of silent hops, the address after."""
_Gaps = defaultdict[bytes, defaultdict[int, set[bytes]]]
"""By the address before and the number of silent hops: the addresses after."""


def crossings(rows: Sequence[RatedRow]) -> Steps[dict[Crossed, int]]:
    """Which rows cross each address and link, as bits by their number. Healthy rows include those
    that may."""
    crossed: defaultdict[Crossed, int] = defaultdict(int)
    gaps: _Gaps = defaultdict(lambda: defaultdict(set))
    pace = Pace()
    for number, row in enumerate(rows):
        bit = 1 << number
        for path in row.paths:
            for address in {address for hop in path.hops for address in hop}:
                crossed[address] |= bit
            for near, far in pairwise(path.hops):
                if len(near) == len(far) == 1:
                    crossed[near[0], far[0]] |= bit
            for before, count, after in _gaps(path.hops):
                gaps[before][count].add(after)
            if pace.full(2 * _size(path.hops)):
                yield
    between = yield from _between(rows, gaps)
    for number, row in enumerate(rows):
        if row.condition is not None:
            continue
        seen: set[_Gap] = set()
        for path in row.paths:
            for gap in _gaps(path.hops):
                if gap in seen or gap not in between:
                    continue
                seen.add(gap)
                for feature in between[gap]:
                    crossed[feature] |= 1 << number
                    if pace.full(1):
                        yield
            if pace.full(len(path.hops)):
                yield
    return crossed


def _size(hops: Sequence[Hop]) -> int:
    return sum(map(len, hops)) + len(hops)


def _gaps(hops: Sequence[Hop]) -> Iterator[_Gap]:
    last = None
    for place, hop in enumerate(hops):
        if not hop:
            continue
        if last is not None and place - last > 1 and len(hop) == len(hops[last]) == 1:
            yield hops[last][0], place - last - 1, hop[0]
        last = place


def _between(rows: Sequence[RatedRow], gaps: _Gaps) -> Steps[dict[_Gap, set[Crossed]]]:
    """What other rows met where some row has such a gap."""
    found: defaultdict[_Gap, set[Crossed]] = defaultdict(set)
    pace = Pace()
    for row in rows:
        for path in row.paths:
            hops = path.hops
            for place, near in enumerate(hops):
                if len(near) != 1 or near[0] not in gaps:
                    continue
                for count, fars in gaps[near[0]].items():
                    end = place + count + 1
                    if end >= len(hops) or len(hops[end]) != 1 or hops[end][0] not in fars:
                        continue
                    met = found[near[0], count, hops[end][0]]
                    met.update(each for hop in hops[place + 1 : end] for each in hop)
                    met.update(
                        (one[0], other[0])
                        for one, other in pairwise(hops[place : end + 1])
                        if len(one) == len(other) == 1
                    )
                if pace.full(len(gaps[near[0]])):
                    yield
            if pace.full(len(hops)):
                yield
    return found
