"""Validates the query of a list of measurements: filters, and which page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from colotrace_proto.measured import Outcome
from colotrace_proto.messages import MAX_TARGET, PacketType
from colotrace_proto.text import safe

from colotrace_coordinator.api.errors import InvalidBodyError, schema_fault
from colotrace_coordinator.measurements.ids import is_id
from colotrace_coordinator.model import Filter, Message

PER_PAGE, MOST_PER_PAGE = 20, 100
MOST_PAGES = 1_000
"""Pages by number; with more measurements, `cursor` goes on."""
_MAX_COLO = 32
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list. `before` is the id after which the page begins. `page` counts from 1,
    and is 0 if the client does not use numbers."""

    before: str | None
    page: int
    per_page: int


def listing(query: Mapping[str, str]) -> tuple[Filter, Page]:
    """The filter and the page.

    Raises:
        InvalidBodyError: parameters are invalid; it has a message for each.
    """
    read = Parameters(query)
    wanted = Filter(
        target=read.text("target", most=MAX_TARGET),
        colo=read.text("colo", most=_MAX_COLO).lower(),
        since_ms=read.one("since", _time_ms, _TIME),
        until_ms=read.one("until", _time_ms, _TIME),
        packet_type=read.one("packet_type", PacketType, one_of(PacketType)),
        outcome=read.one("outcome", Outcome, one_of(Outcome)),
    )
    page = paging(read)
    read.check()
    return wanted, page


class Parameters:
    """The parameters of a query; collects what is wrong with them."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self._known: set[str] = set()
        self._faults: list[Message] = []

    def text(self, name: str, *, most: int) -> str:
        """The text; "" if it is absent."""
        self._known.add(name)
        value = self._query.get(name, "")
        if len(value) > most:
            self._fault(name, f"must have at most {most} characters")
            return ""
        return value

    def one(self, name: str, read: Callable[[str], _T], words: str) -> _T | None:
        """The value as `read` has it, which raises ValueError; None if it is absent.

        `words` say what is valid.
        """
        self._known.add(name)
        value = self._query.get(name, "")
        if not value:
            return None
        try:
            return read(value)
        except (ValueError, OverflowError):
            self._fault(name, words)
            return None

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """The number; `default` if it is absent."""
        value = self.one(name, _digits, f"must be a number from {least} to {most}")
        if value is not None and not least <= value <= most:
            self._fault(name, f"must be a number from {least} to {most}")
            return default
        return default if value is None else value

    def chosen(self, name: str, among: Sequence[str], *, most: int) -> str:
        """One of these; it may be absent if there is only one."""
        value = self.text(name, most=most)
        if not value and len(among) == 1:
            return among[0]
        self.among(name, value, among)
        return value

    def among(self, name: str, value: str, values: Sequence[str]) -> None:
        """The value must be one of these."""
        if value not in values:
            self._fault(name, f"must be one of the measurement's: {safe(', '.join(values))}")

    def _fault(self, name: str, words: str) -> None:
        self._faults.append(schema_fault(f"{name} {words}", f"?{name}"))

    def check(self) -> None:
        """Raises InvalidBodyError if something was wrong, or is not known: a filter that is written
        wrongly must not list everything."""
        for name in self._query:
            if name not in self._known:
                self._fault(safe(name, most=40), "is not a parameter of this route")
        if self._faults:
            raise InvalidBodyError(self._faults)


def numbered_page(read: Parameters) -> tuple[int, int]:
    """The number of the page, from 1, and its size, of a list that is paged by number alone."""
    page = read.number("page", 1, least=1, most=MOST_PAGES)
    return page, read.number("per_page", PER_PAGE, least=1, most=MOST_PER_PAGE)


def word_of(*words: str) -> Callable[[str], str]:
    """Reads one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read


def paging(read: Parameters, *, numbered: bool = True) -> Page:
    """Which page is wanted. `numbered`: it may be asked for by its number."""
    return Page(
        before=read.one("cursor", _id, "must be the cursor of an earlier page"),
        page=read.number("page", 0, least=1, most=MOST_PAGES) if numbered else 0,
        per_page=read.number("per_page", PER_PAGE, least=1, most=MOST_PER_PAGE),
    )


_TIME = "must be a time, as 2026-01-31T12:00:00Z or in seconds since 1970"


def one_of(kind: type[StrEnum]) -> str:
    """Says what is valid."""
    return "must be one of " + ", ".join(each.value for each in kind)


def _digits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError
    return int(text)


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError
    return text


def _time_ms(text: str) -> int:
    if len(text) > 40:
        raise ValueError
    try:
        seconds = float(text)
    except ValueError:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds) or not 0 <= seconds < 1e11:
        raise ValueError
    return int(seconds * 1_000)
