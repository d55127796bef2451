"""A stable choice of a few colos, spread over countries and cities.

Each country, city and colo has a weight, which is a hash of its name (rendezvous hashing). The
choice takes countries in turn, the country of the least weight first; in each country its cities in
turn, and in each city the colo of the least weight. It depends on the candidates alone, not on
their order. A colo that comes or goes changes the choice by at most one colo: one moves up, or the
last one is left out.
"""

import zlib
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from colotrace_proto.messages import ColoName

from .places import Place

_FEW = 8
"""Sorting one of so many colos takes less time than looking at all of them."""


class ByWeight:
    """The known colos in the order of their weights, so that no request sorts thousands."""

    def __init__(self) -> None:
        self._all: list[ColoName] = []

    def add(self, colo: ColoName) -> None:
        """Add a colo that is not there."""
        insort(self._all, colo, key=_weight)

    def discard(self, colo: ColoName) -> None:
        """Remove a colo that is there."""
        del self._all[bisect_left(self._all, _weight(colo), key=_weight)]

    def sorted(self, colos: Collection[ColoName]) -> list[ColoName]:
        """These of the colos, in the order of their weights."""
        if len(colos) < len(self._all) // _FEW:
            return sorted(colos, key=_weight)
        return [colo for colo in self._all if colo in colos]


def spread(
    colos: Iterable[ColoName], most: int, *, place_of: Callable[[ColoName], Place]
) -> set[ColoName]:
    """At most this many of the colos, which are in the order of their weights; see the module."""
    of_place: defaultdict[Place, list[ColoName]] = defaultdict(list)
    for colo in colos:
        of_place[place_of(colo)].append(colo)
    of_country: defaultdict[str, list[Place]] = defaultdict(list)
    for place in of_place:
        of_country[place.country].append(place)

    def cities(country: str) -> Iterator[ColoName]:
        # Sorted once the country's turn has come: with a small `most` that of few comes.
        places = sorted(of_country[country], key=lambda place: _weight(place.city))
        yield from _in_turn([iter(of_place[place]) for place in places])

    countries = sorted(of_country, key=_weight)
    return set(islice(_in_turn([cities(country) for country in countries]), most))


def _weight(name: str) -> tuple[int, str]:
    # Texts of the same weight are told apart by themselves.
    return zlib.crc32(name.encode()), name


def _in_turn(groups: list[Iterator[ColoName]]) -> Iterator[ColoName]:
    """The first of each group, then the second of each, and so on."""
    while groups:
        left = []
        for group in groups:
            for colo in group:
                yield colo
                left.append(group)
                break
        groups = left
