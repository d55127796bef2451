"""Which format an HTTP client wants: by the parameter `format`, else by Accept (RFC 9110, 12.5.1).

JSON is the answer wherever the client takes it, whatever else it prefers: libraries send lists such
as `application/json, text/plain, */*`, and their users expect JSON. A client that wants another
format by Accept names that alone, or excludes JSON: `application/json;q=0`.
"""

import enum
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .formats import FORMATS, JSON, LINES, Format

_MOST_RANGES = 64
"""Ranges of an Accept that are looked at. Browsers send fewer than ten."""
# A text in quotation marks, or the rest if they are not closed: a search for their end that fails
# would be repeated at the next one.
_QUOTED = r'"(?:[^"\\]|\\.?)*+"?'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})++')
_PARAMETER = re.compile(rf";\s*([^=;\s]+)\s*=\s*({_QUOTED}|[^;\s]*)")
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")
_ORDER = ("json", "text", "csv", "markdown", "html", "dot", "mtr", "atlas", "scamper")
"""What is preferred among formats that the client wants equally, for instance `text/*`."""


class Live(enum.StrEnum):
    """What a client may take of a measurement while it runs, by its media type."""

    EVENTS = "text/event-stream"
    ROWS = LINES


class UnknownFormatError(ValueError):
    """There is no such format. The message lists those there are."""

    def __init__(self) -> None:
        super().__init__(f"must be one of {', '.join(FORMATS)}")


class NotAcceptableError(Exception):
    """The client takes none of the formats: HTTP status 406. `offered` are the media types."""

    def __init__(self, offered: Iterable[str]) -> None:
        self.offered = tuple(offered)
        super().__init__(f"Accept has none of {', '.join(self.offered)}")


class _Offer(NamedTuple):
    """Something to choose; `name` is the value that the parameter `format` of a range must have.
    With `explicit`, only a range with that parameter means this offer."""

    choice: Format | Live
    media_type: str
    name: str | None = None
    explicit: bool = False

    @property
    def content_type(self) -> str:
        """The media type to list it by."""
        return f"{self.media_type}; format={self.name}" if self.explicit else self.media_type


class _Range(NamedTuple):
    """One element of Accept."""

    main: str
    sub: str
    format: str | None
    quality: float

    def specificity(self, offer: _Offer) -> int:
        """How specifically this range names the offer; 0 if it does not."""
        main, _, sub = offer.media_type.partition("/")
        if self.main == "*":
            return 1
        if self.main != main:
            return 0
        if self.sub == "*":
            return 2
        if self.sub != sub or self.format not in (None, offer.name):
            return 0
        if self.format is None:
            return 0 if offer.explicit else 3
        return 4


_FORMATS = [
    _Offer(each, each.media_type, each.name, each.is_lines)
    for each in (FORMATS[name] for name in _ORDER)
]
_ALL = [*_FORMATS, *(_Offer(each, each.value) for each in Live)]


def choose(format: str | None, accept: str | None) -> Format:  # noqa: A002 - the parameter's name
    """The format of a finished answer. `format` and `accept` are None if the client gave none;
    several headers Accept are to be joined by commas.

    Raises:
        UnknownFormatError: `format` is none of the names.
        NotAcceptableError: the client takes none of the formats.
    """
    chosen = _named(format) or _accepted(accept, _FORMATS)
    assert isinstance(chosen, Format)  # noqa: S101 - for mypy: there is nothing else to choose
    return chosen


def wanted(format: str | None, accept: str | None) -> Format | Live:  # noqa: A002 - see above
    """The same where the client may also take events or rows while the measurement runs."""
    return _named(format) or _accepted(accept, _ALL)


def _named(name: str | None) -> Format | None:
    if name is None:
        return None
    try:
        return FORMATS[name]
    except KeyError:
        raise UnknownFormatError from None


def _accepted(accept: str | None, offers: Iterable[_Offer]) -> Format | Live:
    if accept is None or not accept.strip():
        return JSON
    ranges = list(_ranges(accept))
    best: tuple[float, int] = (0.0, 0)
    chosen: Format | Live | None = None
    for offer in offers:
        specificity, quality = max(
            ((each.specificity(offer), each.quality) for each in ranges), default=(0, 0.0)
        )
        if not specificity or not quality:
            continue
        if offer.choice is JSON:
            return JSON
        if (quality, specificity) > best:
            best, chosen = (quality, specificity), offer.choice
    if chosen is None:
        raise NotAcceptableError(offer.content_type for offer in offers)
    return chosen


def _ranges(accept: str) -> Iterator[_Range]:
    """The elements of Accept; what is malformed is ignored."""
    for count, element in enumerate(_ELEMENT.finditer(accept)):
        if count == _MOST_RANGES:
            return
        media_range, semicolon, rest = element[0].strip().partition(";")
        main, _, sub = media_range.strip().lower().partition("/")
        if not main or not sub or (main == "*" and sub != "*"):
            continue
        parameters = {
            name.lower(): value.strip('"') for name, value in _PARAMETER.findall(semicolon + rest)
        }
        quality = parameters.get("q", "1")
        if _QUALITY.match(quality):
            yield _Range(main, sub, parameters.get("format"), float(quality))
