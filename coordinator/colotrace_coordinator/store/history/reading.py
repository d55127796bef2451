"""Reads measurements: those in the database, and those that wait to be written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import structlog
from colotrace_proto.measured import Measured, Summary, Trace
from colotrace_proto.messages import ColoName
from colotrace_proto.tally import NOTHING_KNOWN, Known
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from colotrace_coordinator.errors import DamagedMeasurementError
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.tables import Measurement, MeasurementChunk
from colotrace_coordinator.turns import Turns

from .beats import Beats
from .columns import of_flat
from .finding import id_at, key_of, newest_ids, search_for
from .heads import Body, body_of, chunk_of, known_steps, summary_of
from .packing import Chunk, unpack
from .seal import DamageError
from .waiting import Entry, Held, Waiting
from .words import matches

_CHUNKS_AT_ONCE = 20
FAR = 1_000
"""Beyond so many measurements, the database counts those to skip."""
_MOST_DAMAGED = 1_000
"""Damaged measurements that are counted and logged."""

log = structlog.get_logger(__name__)


class Reader:
    """Finds and reads measurements. What waits comes before what the database has of it."""

    def __init__(self, database: Database, waiting: Waiting, *, beats: Beats, turns: Turns) -> None:
        self._database = database
        self._waiting = waiting
        self._beats = beats
        self._turns = turns
        self._damaged: set[bytes] = set()

    @property
    def damaged(self) -> int:
        """Measurements that were found damaged since the start; `_MOST_DAMAGED` at most."""
        return len(self._damaged)

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        """The account's measurement of that id, without its rows.

        Raises:
            StoreUnavailableError: the database does not answer.
            DamagedMeasurementError: what the database has of it is damaged.
        """
        if self._waiting.has(measurement_id):
            entry = self._waiting.get(measurement_id, account_id)
            return None if entry is None else entry.summary
        key = key_of(measurement_id)
        if key is None:
            return None
        async with self._database.session() as session:
            return await self._stored(session, account_id, key)

    async def show(self, account_id: str, measurement_id: str) -> Measured | None:
        """The account's measurement of that id.

        Raises:
            StoreUnavailableError: the database does not answer.
            DamagedMeasurementError: what the database has of it is damaged.
        """
        entry = None
        if self._waiting.has(measurement_id):
            entry = self._waiting.get(measurement_id, account_id)
            if entry is None:
                return None
        key = key_of(measurement_id)
        if key is None:
            return None
        return await self._measured(account_id, key, entry)

    async def newest(
        self, account_id: str, wanted: Filter, *, before: str | None, most: int, skip: int = 0
    ) -> list[Summary]:
        """The account's measurements, newest first: at most so many, with ids less than `before`,
        beyond the first `skip`. Damaged ones are left out.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        end = None if before is None else key_of(before)
        waiting = {bytes.fromhex(e.summary.id): e for e in self._waiting.of_account(account_id)}
        here = [key for key, entry in waiting.items() if matches(entry.summary, wanted)]
        found: list[Summary] = []
        async with self._database.session() as session:
            search = await search_for(session, account_id, wanted)
            # Of the first `skip`, at least so many are in the database.
            far = skip - len(waiting)
            if far > FAR:
                start, end = end, await id_at(session, search, before=end, place=far - 1)
                if end is None:
                    return []
                passed = [key for key in waiting if _within(key, end, start)]
                twice = sum(_listed(waiting[key], wanted) for key in passed)
                skip -= far - twice + len([key for key in here if _within(key, end, start)])
            while len(found) < most:
                asked = skip + most - len(found) + len(waiting)
                ids = await newest_ids(session, search, before=end, most=asked)
                # Whether the database has more beyond the last id.
                low = ids[-1] if len(ids) == asked else None
                keys = [key for key in here if _within(key, low, end)]
                keys += [key for key in ids if key not in waiting]
                keys.sort(reverse=True)
                page = keys[skip : skip + most - len(found)]
                summaries = await self._heads(session, account_id, page, waiting)
                found += [each for each in summaries if matches(each, wanted)]
                if low is None and len(keys) <= skip + len(page):
                    break
                skip = max(0, skip - len(keys))
                end = page[-1] if page else low
        return found

    async def pair(
        self, account_id: str, target: str, colo: ColoName, *, up_to: str, most: int
    ) -> list[Measured]:
        """The rows of a target and a colo, each with its measurement, newest first.

        At most so many, with ids up to `up_to`. Measurements without that row, and damaged ones,
        are left out.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found: list[Measured] = []
        wanted = Filter(target=target, colo=colo)
        key = key_of(up_to)
        before = None if key is None else _text(key, more=1)
        while len(found) < most:
            summaries = await self.newest(account_id, wanted, before=before, most=most)
            found += await self._rows(summaries, target, colo)
            if len(summaries) < most:
                break
            before = summaries[-1].id
        return found[:most]

    async def _rows(
        self, summaries: Sequence[Summary], target: str, colo: ColoName
    ) -> list[Measured]:
        """The row of the target and the colo of each measurement that has it."""
        found: list[Measured] = []
        waiting = {s.id: self._waiting.get(s.id, s.account_id) for s in summaries}
        stored = [bytes.fromhex(each) for each, entry in waiting.items() if entry is None]
        async with self._database.session() as session:
            statement = select(Measurement.id, Measurement.body).where(Measurement.id.in_(stored))
            bodies = {line.id.hex(): line.body for line in await session.execute(statement)}
            for summary in summaries:
                number = summary.targets.index(target) * len(summary.colos)
                number += summary.colos.index(colo)
                key, entry = bytes.fromhex(summary.id), waiting[summary.id]
                try:
                    if entry is not None:
                        traces, known = await self._held(entry.held(), only=number)
                    else:
                        body = body_of(bodies.get(summary.id))
                        known = await self._known(body)
                        traces = _unpacked(summary, body.chunk, only=number)
                    if number not in traces:
                        traces = await self._chunks(session, summary, key, only=number)
                except DamageError as error:
                    self._damage(key, error)
                    continue
                if number in traces:
                    row = {number: traces[number]}
                    found.append(Measured(summary=summary, traces=row, known=known))
                await self._turns.pause()
        return found

    async def _measured(self, account_id: str, key: bytes, entry: Entry | None) -> Measured | None:
        try:
            # What waits is taken first: it may be written while the database is read.
            held = entry.held() if entry is not None else None
            stored: dict[int, Trace] = {}
            if held is None or (entry is not None and entry.stored):
                async with self._database.session() as session:
                    summary = await self._stored(session, account_id, key, held)
                    if summary is None:
                        return None
                    stored = await self._chunks(session, summary, key)
                    if held is None:
                        statement = select(Measurement.body).where(Measurement.id == key)
                        blob = await session.scalar(statement)
                        held = Held(summary, {}, (), blob, NOTHING_KNOWN)
            traces, known = await self._held(held)
            whole = dict(sorted((stored | traces).items()))
            return Measured(summary=held.summary, traces=whole, known=known)
        except DamageError as error:
            raise self._damage(key, error) from None

    async def _held(self, held: Held, *, only: int | None = None) -> tuple[dict[int, Trace], Known]:
        """The rows of what waits, or of a stored body, and the names."""
        traces: dict[int, Trace] = {}
        for each in held.packed:
            if only is None or only in each.rows:
                traces.update(unpack(held.summary, chunk_of(each.blob), only=only))
                await self._turns.pause()
        body = body_of(held.body)
        traces.update(_unpacked(held.summary, body.chunk, only=only))
        traces.update(held.rows)
        return traces, held.known if held.body is None else await self._known(body)

    async def _known(self, body: Body) -> Known:
        known = NOTHING_KNOWN
        for known in known_steps(body):  # noqa: B007 - the last one counts
            if body.more:
                await self._turns.pause()
        return known

    async def _chunks(
        self, session: AsyncSession, summary: Summary, key: bytes, *, only: int | None = None
    ) -> dict[int, Trace]:
        line = MeasurementChunk
        statement = select(line.number, line.rows).where(line.id == key).order_by(line.number)
        numbers = [
            number
            for number, rows in await session.execute(statement)
            if only is None or only in tuple(of_flat(rows))
        ]
        traces: dict[int, Trace] = {}
        for first in range(0, len(numbers), _CHUNKS_AT_ONCE):
            piece = numbers[first : first + _CHUNKS_AT_ONCE]
            blobs = await session.scalars(
                select(line.traces).where(line.id == key, line.number.in_(piece))
            )
            for blob in blobs.all():
                traces.update(unpack(summary, chunk_of(blob), only=only))
                await self._turns.pause()
        return traces

    async def _stored(
        self, session: AsyncSession, account_id: str, key: bytes, held: Held | None = None
    ) -> Summary | None:
        """The summary that waits, or else that of the database."""
        if held is not None:
            return held.summary
        statement = select(Measurement.head).where(
            Measurement.id == key, Measurement.account_id == account_id
        )
        head = await session.scalar(statement)
        if head is None:
            return None
        try:
            summary = summary_of(key.hex(), account_id, head)
        except DamageError as error:
            raise self._damage(key, error) from None
        return (await self._beats.judged(session, [summary]))[0]

    async def _heads(
        self,
        session: AsyncSession,
        account_id: str,
        keys: Sequence[bytes],
        waiting: Mapping[bytes, Entry],
    ) -> list[Summary]:
        """The summaries of these ids, in their order."""
        statement = select(Measurement.id, Measurement.head).where(
            Measurement.id.in_([key for key in keys if key not in waiting]),
            Measurement.account_id == account_id,
        )
        heads = {line.id: line.head for line in await session.execute(statement)}
        stored = await self._beats.judged(session, list(self._summaries(account_id, heads)))
        found = {bytes.fromhex(each.id): each for each in stored}
        found.update((key, waiting[key].summary) for key in keys if key in waiting)
        return [found[key] for key in keys if key in found]

    def _summaries(self, account_id: str, heads: Mapping[bytes, bytes]) -> Iterable[Summary]:
        for key, head in heads.items():
            try:
                yield summary_of(key.hex(), account_id, head)
            except DamageError as error:
                self._damage(key, error)

    def _damage(self, key: bytes, error: DamageError) -> DamagedMeasurementError:
        """The error for clients. Each measurement is logged once, however often it is listed."""
        if key not in self._damaged and len(self._damaged) < _MOST_DAMAGED:
            self._damaged.add(key)
            log.warning("measurement_damaged", id=key.hex(), error=str(error))
        return DamagedMeasurementError(f"the measurement {key.hex()} is damaged: {error}")


def _unpacked(
    summary: Summary, chunk: Chunk | None, *, only: int | None = None
) -> dict[int, Trace]:
    return {} if chunk is None else unpack(summary, chunk, only=only)


def _listed(entry: Entry, wanted: Filter) -> bool:
    """Whether the database lists what waits, too."""
    if not entry.stored or wanted.outcome not in (None, entry.listed):
        return False
    return matches(entry.summary, replace(wanted, outcome=None))


def _within(key: bytes, low: bytes | None, end: bytes | None) -> bool:
    return (low is None or key >= low) and (end is None or key < end)


def _text(key: bytes, *, more: int) -> str | None:
    number = int.from_bytes(key, "big") + more
    return f"{number:032x}" if number >> 128 == 0 else None
