"""Finds the ids of measurements by their words, newest or oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from colotrace_proto.messages import ColoName
from sqlalchemy import Select, exists, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.tables import MeasurementWord

from .words import code_words, colo_word, is_code, kind_words, target_word

MAX_COLOS = 1_000
"""Colos of one code that are searched."""
_AT_ONCE = 100
"""Words searched by one statement."""
_MARGIN_MS = 2_000
"""An id may be of a moment beside the begin of its measurement."""
_FIRST, _LAST = bytes(16), b"\xff" * 17


@dataclass(frozen=True, slots=True)
class Search:
    """Words by which to search: the measurements of any of the `leading` words that have, in each
    group of `others`, one of its words."""

    leading: Sequence[int]
    others: Sequence[Sequence[int]]
    low: bytes = _FIRST
    """Ids from this one on, and below `high`."""
    high: bytes = _LAST


async def search_for(session: AsyncSession, account: str, wanted: Filter) -> Search:
    """The search for a filter. Few measurements have the leading words: a target is rarer than a
    colo, a colo than a packet type."""
    groups: list[Sequence[int]] = []
    if wanted.target:
        groups.append([target_word(account, wanted.target)])
    if wanted.colo:
        groups.append(await _colo_words(session, account, wanted.colo))
    if not groups or wanted.packet_type is not None or wanted.outcome is not None:
        groups.append(kind_words(account, wanted))
    low, high = _FIRST, _LAST
    if wanted.since_ms is not None:
        low = first_id(wanted.since_ms - _MARGIN_MS)
    if wanted.until_ms is not None:
        high = first_id(wanted.until_ms + _MARGIN_MS)
    return Search(groups[0], groups[1:], low, high)


async def newest_ids(
    session: AsyncSession, search: Search, *, before: bytes | None, most: int
) -> list[bytes]:
    """At most so many ids, newest first."""
    high = search.high if before is None else min(before, search.high)
    return (await _ids(session, search, high=high, most=most, newest=True))[:most]


async def oldest_ids(session: AsyncSession, account: str, *, most: int) -> list[bytes]:
    """At most so many ids of the account, oldest first."""
    search = Search(kind_words(account, Filter()), ())
    return (await _ids(session, search, high=_LAST, most=most, newest=False))[:most]


async def _ids(
    session: AsyncSession, search: Search, *, high: bytes, most: int, newest: bool
) -> list[bytes]:
    found: set[bytes] = set()
    words = iter(search.leading)
    while piece := list(islice(words, _AT_ONCE)):
        parts = [
            select(_of_word(word, search, high=high, most=most, newest=newest).subquery().c.id)
            for word in piece
        ]
        found.update((await session.execute(union_all(*parts))).scalars())
    return sorted(found, reverse=newest)


def _of_word(word: int, search: Search, *, high: bytes, most: int, newest: bool) -> Select[Any]:
    line = aliased(MeasurementWord)
    statement = select(line.id).where(line.word == word, line.id >= search.low, line.id < high)
    for group in search.others:
        other = aliased(MeasurementWord)
        statement = statement.where(exists().where(other.word.in_(group), other.id == line.id))
    return statement.order_by(line.id.desc() if newest else line.id).limit(most)


async def _colo_words(session: AsyncSession, account: str, colo: str) -> list[int]:
    """The word of a colo's name, or those of the colos of a code that have measurements."""
    if not is_code(colo):
        return [colo_word(account, ColoName(colo))]
    words = code_words(account, colo)
    # Each step finds the next word in the index, however many measurements each one has.
    first = select(func.min(MeasurementWord.word).label("word")).where(
        MeasurementWord.word >= words.start, MeasurementWord.word < words.stop
    )
    found = first.cte("found", recursive=True)
    later = (
        select(func.min(MeasurementWord.word))
        .where(MeasurementWord.word > found.c.word, MeasurementWord.word < words.stop)
        .scalar_subquery()
    )
    found = found.union_all(select(later).where(found.c.word.is_not(None)))
    statement = select(found.c.word).where(found.c.word.is_not(None)).limit(MAX_COLOS)
    return list((await session.execute(statement)).scalars())


def first_id(from_ms: int) -> bytes:
    """The least id of a measurement that begins then: ids are UUIDs of version 7 (RFC 9562)."""
    return min(max(from_ms, 0), (1 << 48) - 1).to_bytes(6, "big") + bytes(10)


def key_of(measurement_id: str) -> bytes | None:
    """The key of an id; None if it is none."""
    try:
        key = bytes.fromhex(measurement_id)
    except ValueError:
        return None
    return key if len(key) == 16 and key.hex() == measurement_id else None
