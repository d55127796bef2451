"""Finds the ids of measurements by their words, newest or oldest first."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from colotrace_proto.messages import ColoName
from sqlalchemy import TextClause, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

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


async def id_at(
    session: AsyncSession, search: Search, *, before: bytes | None, place: int
) -> bytes | None:
    """The id at this place of the list, from 0; None if the list is shorter. The database counts,
    since so many ids would keep the event loop from its work."""
    high = search.high if before is None else min(before, search.high)
    words = search.leading[:_AT_ONCE]
    if not words or not all(search.others):
        return None
    values = _values(search, words) | {"high": high, "most": place + 1, "place": place}
    statement = _statement(len(words), tuple(map(len, search.others)), newest=True, at=True)
    found: bytes | None = await session.scalar(statement, values)
    return found


async def oldest_ids(session: AsyncSession, account: str, *, most: int) -> list[bytes]:
    """At most so many ids of the account, oldest first."""
    search = Search(kind_words(account, Filter()), ())
    return (await _ids(session, search, high=_LAST, most=most, newest=False))[:most]


async def _ids(
    session: AsyncSession, search: Search, *, high: bytes, most: int, newest: bool
) -> list[bytes]:
    if not all(search.others):
        return []
    found: set[bytes] = set()
    words = iter(search.leading)
    groups = tuple(map(len, search.others))
    while piece := list(islice(words, _AT_ONCE)):
        values = _values(search, piece) | {"high": high, "most": most}
        statement = _statement(len(piece), groups, newest=newest)
        found.update((await session.execute(statement, values)).scalars())
    return sorted(found, reverse=newest)


def _values(search: Search, words: Sequence[int]) -> dict[str, Any]:
    values: dict[str, Any] = {"low": search.low}
    values |= {f"word{place}": word for place, word in enumerate(words)}
    for number, group in enumerate(search.others):
        values |= {f"other{number}_{place}": word for place, word in enumerate(group)}
    return values


@functools.lru_cache(maxsize=256)
def _statement(
    words: int, groups: tuple[int, ...], *, newest: bool, at: bool = False
) -> TextClause:
    """The search for so many leading words, with groups of so many others. `at`: of the result only
    the id at `:place`.

    As text, since SQLAlchemy takes 5 ms to put it together from parts.
    """
    conditions = "".join(
        " AND EXISTS (SELECT 1 FROM measurement_words AS other WHERE other.id = line.id"  # noqa: S608 - numbers
        " AND other.word IN ({}))".format(
            ", ".join(f":other{number}_{place}" for place in range(size))
        )
        for number, size in enumerate(groups)
    )
    # Nothing but numbers is put into the text.
    part = (
        "SELECT id FROM (SELECT line.id FROM measurement_words AS line"  # noqa: S608 - numbers
        " WHERE line.word = :word{0} AND line.id >= :low AND line.id < :high"
        + conditions
        + f" ORDER BY line.id {'DESC' if newest else 'ASC'} LIMIT :most) AS part{{0}}"
    )
    parts = [part.format(place) for place in range(words)]
    if at:
        whole = " UNION ".join(parts)
        return text(f"{whole} ORDER BY id DESC LIMIT 1 OFFSET :place")
    return text(" UNION ALL ".join(parts))


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
