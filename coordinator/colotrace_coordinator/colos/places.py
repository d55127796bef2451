"""Where the known colos are, by their agents' text ("Denver, CO, US"), and the index of it.

The parts of the text are separated by commas. The first is the city, the last the country. Texts
are compared without regard to case, spaces and the forms of Unicode that look the same.
"""

import unicodedata
from collections.abc import Iterator, Set
from typing import Generic, NamedTuple, TypeVar

from colotrace_proto.messages import ColoName

_MOST_PARTS = 4
"""Parts of a city's text that a selector can name from its beginning, beside all of them."""
_NOTHING: frozenset[ColoName] = frozenset()
K = TypeVar("K")


class Place(NamedTuple):
    """A country, and a city with what tells it from others of its name: "de", "frankfurt, de".
    Both are "" if the agents named no city."""

    country: str
    city: str


class Groups(Generic[K]):
    """The colos that have something in common, by what it is."""

    def __init__(self) -> None:
        self._colos: dict[K, set[ColoName]] = {}

    def __getitem__(self, key: K) -> Set[ColoName]:
        return self._colos.get(key, _NOTHING)

    def __len__(self) -> int:
        return len(self._colos)

    def add(self, key: K, colo: ColoName) -> None:
        """Add the colo to a group."""
        self._colos.setdefault(key, set()).add(colo)

    def discard(self, key: K, colo: ColoName) -> None:
        """Remove the colo from a group."""
        colos = self._colos.get(key)
        if colos is not None:
            colos.discard(colo)
            if not colos:
                del self._colos[key]


class Places:
    """The places of colos."""

    def __init__(self) -> None:
        self._texts: dict[ColoName, str] = {}
        self._places: dict[ColoName, Place] = {}
        self._countries: Groups[str] = Groups()
        self._cities: Groups[str] = Groups()

    def put(self, colo: ColoName, text: str) -> None:
        """Set where a colo is; `text` is as its agents state it."""
        if self._texts.get(colo) == text:
            return
        self.discard(colo)
        parts = _parts(text)
        self._texts[colo] = text
        self._places[colo] = Place(parts[-1] if parts else "", ", ".join(parts))
        for city in _cities(parts):
            self._cities.add(city, colo)
        if parts:
            self._countries.add(parts[-1], colo)

    def discard(self, colo: ColoName) -> None:
        """Forget a colo; one that is not there is ignored."""
        text = self._texts.pop(colo, None)
        if text is None:
            return
        parts = _parts(text)
        for city in _cities(parts):
            self._cities.discard(city, colo)
        if parts:
            self._countries.discard(parts[-1], colo)
        del self._places[colo]

    def __getitem__(self, colo: ColoName) -> Place:
        return self._places[colo]

    def in_country(self, text: str) -> Set[ColoName]:
        """The colos in the country: the last part of their text."""
        return self._countries[", ".join(_parts(text))]

    def in_city(self, text: str) -> Set[ColoName]:
        """The colos in the city: the first part of their text, the first few, or all of it."""
        return self._cities[", ".join(_parts(text))]


def _parts(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    parts = (" ".join(part.split()) for part in folded.split(","))
    return [part for part in parts if part]


def _cities(parts: list[str]) -> Iterator[str]:
    """The names by which the city can be selected; one may be there twice."""
    for count in range(1, min(len(parts), _MOST_PARTS) + 1):
        yield ", ".join(parts[:count])
    if parts:
        yield ", ".join(parts)
