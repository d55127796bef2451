"""The known colos, and indexes of what requests select them by.

Every request asks, so the cost of a request does not grow with the colos that it does not mean.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from colotrace_proto.messages import ColoName
from colotrace_proto.tags import Tag

from .names import ColoNames
from .places import Groups, Places
from .selectors import City, Country, Tagged
from .spread import Spread


class ColoFacts(NamedTuple):
    """What agents state of their colo: the text of its city, and the tags of all of them."""

    city: str
    tags: frozenset[Tag] = frozenset()


class KnownColos:
    """A set of colos, each with its city's text and its tags. Iterating yields names, sorted."""

    def __init__(self, cities: Iterable[tuple[ColoName, str]] = ()) -> None:
        self._names = ColoNames()
        self._places = Places()
        self._spread = Spread()
        self._tags: dict[ColoName, frozenset[Tag]] = {}
        self._tagged: Groups[Tag] = Groups()
        for name, city in sorted(cities):
            self.put(name, city)

    def __iter__(self) -> Iterator[ColoName]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def put(self, name: ColoName, city: str = "") -> None:
        """Add a colo, or change its city."""
        if name in self._names:
            self._spread.discard(name, self._places[name])
        self._names.add(name)
        self._places.put(name, city)
        self._spread.add(name, self._places[name])

    def discard(self, name: ColoName) -> None:
        """Remove a colo; one that is not there is ignored."""
        if name in self._names:
            self.tag(name, ())
            self._names.discard(name)
            self._spread.discard(name, self._places[name])
            self._places.discard(name)

    def tag(self, name: ColoName, tags: Iterable[Tag]) -> None:
        """Replace the tags of a known colo."""
        before, after = self._tags.get(name, frozenset()), frozenset(tags)
        if before == after:
            return
        for tag in before - after:
            self._tagged.discard(tag.folded(), name)
        for tag in after:
            self._tagged.add(tag.folded(), name)
        self._tags[name] = after
        if not after:
            del self._tags[name]

    def tags(self, name: ColoName) -> frozenset[Tag]:
        """The colo's tags."""
        return self._tags.get(name, frozenset())

    def meant(self, word: str) -> Sequence[ColoName]:
        """The colos that a name or a code means; see `ColoNames`."""
        return self._names.meant(word)

    def matching(self, selector: Country | City | Tagged) -> Set[ColoName]:
        """The colos that have what the selector asks for."""
        match selector:
            case Country():
                return self._places.in_country(selector.name)
            case City():
                return self._places.in_city(selector.name)
            case Tagged():
                return self._tagged[selector.tag.folded()]

    def spread(self, colos: Set[ColoName], most: int) -> Set[ColoName]:
        """At most this many of these colos, spread over their places; see `Spread`."""
        return self._spread.choose(colos, most, place_of=self._places.__getitem__)
