"""Selectors in a request's `colos`: KEY:VALUE. A colo's name or code has no colon."""

import re
from dataclasses import dataclass

from colotrace_proto.tags import SYNTAX, Tag, tag_of
from colotrace_proto.text import safe

from colotrace_coordinator.errors import CoordinatorError

_COUNT = re.compile(r"0*([1-9][0-9]{0,8})")
_MOST_SHOWN = 64


class SelectorError(CoordinatorError):
    """The value of a selector cannot be used. The text is the reason, for the client."""


class UnknownSelectorError(SelectorError):
    """There is no selector with this key."""


@dataclass(frozen=True, slots=True)
class Country:
    """The colos in a country: the last part of their city's text."""

    name: str


@dataclass(frozen=True, slots=True)
class City:
    """The colos in a city: the first part of their city's text, the first few, or all of it."""

    name: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """The colos of which an agent has the tag."""

    tag: Tag


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many of the colos that everything else selects."""

    most: int


Selector = Country | City | Tagged | Limit


def is_selector(entry: str) -> bool:
    """Whether an entry of a request is meant as a selector."""
    return ":" in entry


def selector_of(entry: str) -> Selector:
    """The selector that the entry is. The key's case does not matter.

    Raises:
        UnknownSelectorError: there is none with its key.
        SelectorError: its value cannot be used.
    """
    key, _, value = entry.partition(":")
    value = value.strip()
    match key.strip().lower():
        case "country" if _names(value):
            return Country(value)
        case "city" if _names(value):
            return City(value)
        case "tag" if (tag := tag_of(value)) is not None:
            return Tagged(tag)
        case "limit" if (count := _COUNT.fullmatch(value)) is not None:
            return Limit(int(count[1]))
        case "country":
            needed = "the name of a country, the last part of a colo's city, as in country:DE"
        case "city":
            needed = "the name of a city, as in city:Denver"
        case "tag":
            needed = f"a tag, as in tag:provider=x: {SYNTAX}"
        case "limit":
            needed = "a number of colos, 1 or more, as in limit:5"
        case _:
            raise UnknownSelectorError(
                f"there is no selector {shown(key)}:; there are country:, city:, tag: and limit:"
            )
    raise SelectorError(f"{shown(entry)} is not a selector: {needed}")


def shown(text: str) -> str:
    """The text of a client as messages show it."""
    return safe(text, most=_MOST_SHOWN)


def _names(value: str) -> bool:
    return bool(value.replace(",", "").strip())
