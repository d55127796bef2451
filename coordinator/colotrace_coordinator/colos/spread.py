"""A stable choice of a few colos, spread over countries and cities.

Each country, city and colo has a weight, which is a hash of its name (rendezvous hashing). The
choice takes countries in turn, the country of the least weight first; in each country its cities in
turn, and in each city the colo of the least weight. It depends on the candidates alone, not on
their order. A colo that comes or goes changes the choice by at most one colo: one moves up, or the
last one is left out.
"""

import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Set
from itertools import islice

from colotrace_proto.messages import ColoName

from .places import Place

_FEW = 8
"""Sorting one of so many colos takes less time than looking at all of them."""


class Spread:
    """The known colos by country and city, so that no request sorts thousands."""

    def __init__(self) -> None:
        self._count = 0
        # By country and city: the colos in the order of their weights.
        self._countries: dict[str, dict[str, list[ColoName]]] = {}

    def add(self, colo: ColoName, place: Place) -> None:
        """Add a colo that is not there."""
        self._count += 1
        cities = self._countries.setdefault(place.country, {})
        insort(cities.setdefault(place.city, []), colo, key=_weight)

    def discard(self, colo: ColoName, place: Place) -> None:
        """Remove a colo from its place."""
        self._count -= 1
        cities = self._countries[place.country]
        colos = cities[place.city]
        del colos[bisect_left(colos, _weight(colo), key=_weight)]
        if not colos:
            del cities[place.city]
        if not cities:
            del self._countries[place.country]

    def choose(
        self, colos: Set[ColoName], most: int, *, place_of: Callable[[ColoName], Place]
    ) -> Set[ColoName]:
        """At most this many of the colos, which are known ones; see the module."""
        if len(colos) <= most:
            return colos
        if len(colos) * _FEW < self._count:
            few = Spread()
            for colo in colos:
                few.add(colo, place_of(colo))
            return few.choose(colos, most, place_of=place_of)
        in_order = sorted(self._countries, key=_weight)
        countries = [_of_country(self._countries[country], colos) for country in in_order]
        return set(islice(_in_turn(countries), most))


def _of_country(cities: dict[str, list[ColoName]], wanted: Set[ColoName]) -> Iterator[ColoName]:
    # Begun when the country has its turn: with a small limit, few countries have one.
    in_order = sorted(cities, key=_weight)
    yield from _in_turn([filter(wanted.__contains__, cities[city]) for city in in_order])


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


def _weight(name: str) -> tuple[int, str]:
    # Texts of the same weight are told apart by themselves.
    return zlib.crc32(name.encode()), name
