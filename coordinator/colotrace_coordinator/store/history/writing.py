"""Writes what waits: packs it, and puts it into the database in transactions of limited size."""

import asyncio
from dataclasses import dataclass, field
from itertools import islice

import structlog
from colotrace_proto.measured import Outcome, Summary
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.tables import (
    Measurement,
    MeasurementAccount,
    MeasurementChunk,
    MeasurementWord,
)
from colotrace_coordinator.turns import Turns

from .beats import Beats
from .columns import flat
from .heads import Body, blob_of, body_steps, head_of
from .packing import CHUNK_ROWS, pack
from .statements import Statements
from .waiting import Entry, Packed, Waiting
from .words import kind_word, words_of

BATCH_ROWS = 2_000
"""About the most rows of one transaction."""
_ENTRIES_AT_ONCE = 16
"""Measurements of a row that are packed in one step: less than a millisecond."""
LINE_BYTES = {"sqlite": 48, "postgresql": 140}
"""About what a short line occupies, with its part of an index."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Part:
    """What is to be written of an entry."""

    entry: Entry
    summary: Summary
    ended: bool
    packed: list[Packed]
    listed: Outcome
    words: list[int]
    unlisted: int | None
    """The word under which it is listed no more."""
    line: tuple[bytes, str, int, bytes, bytes | None]
    grown: int
    rows: int


@dataclass(slots=True)
class _Batch:
    """What one transaction writes."""

    parts: list[_Part] = field(default_factory=list)
    rows: int = 0


class Writer:
    """Writes the entries that have changed."""

    def __init__(
        self,
        database: Database,
        waiting: Waiting,
        *,
        statements: Statements,
        beats: Beats,
        turns: Turns,
    ) -> None:
        self._database = database
        self._waiting = waiting
        self._statements = statements
        self._beats = beats
        self._turns = turns
        self._line_bytes = LINE_BYTES[statements.dialect]
        self._measurements = statements.lines(Measurement, updated=("size", "head", "body"))
        self._chunks = statements.lines(MeasurementChunk, updated=("rows", "traces"))
        self._words = statements.lines(MeasurementWord)
        self._accounts = statements.sums(MeasurementAccount)
        self.written = 0
        """Rows written since the start."""

    async def write(self) -> None:
        """Write everything that has changed. What cannot be written goes on waiting.

        Raises:
            StoreUnavailableError: the database does not answer, or its disk is full.
        """
        changed = self._waiting.changed()
        if not changed:
            if self._waiting.runs and self._beats.due:
                await self._commit(_Batch())
            return
        batch = _Batch()
        for entry in changed:
            part = await self._prepared(entry)
            if len(batch.parts) % _ENTRIES_AT_ONCE == 0:
                await self._turns.pause()
            if part is None or not entry.changed:  # removed, or dropped
                continue
            batch.parts.append(part)
            batch.rows += part.rows + 1
            if batch.rows >= BATCH_ROWS:
                await self._commit(batch)
                batch = _Batch()
        if batch.parts:
            await self._commit(batch)

    async def _prepared(self, entry: Entry) -> _Part | None:
        try:
            await self._packed(entry)
            return _part(entry, line_bytes=self._line_bytes)
        except Exception:  # one measurement must not keep the others from being written
            log.exception("measurement_not_kept", id=entry.summary.id)
            self._waiting.lose(entry)
            return None

    async def _packed(self, entry: Entry) -> None:
        """Pack the rows of an entry, and its body if it has ended, in short turns."""
        alone = entry.ended and not entry.packed and len(entry.rows) <= CHUNK_ROWS
        while entry.rows and not alone:
            piece = dict(islice(entry.rows.items(), CHUNK_ROWS))
            if not entry.ended:
                entry.count(piece)
            for number in piece:
                del entry.rows[number]
            blob = blob_of(pack(entry.summary, piece))
            entry.packed.append(Packed(entry.chunks, tuple(piece), blob))
            entry.chunks += 1
            await self._turns.pause()
        if not entry.ended or entry.body is not None:
            return
        chunk = pack(entry.summary, entry.rows) if entry.rows else None
        body = Body()
        for body in body_steps(chunk, entry.known):  # noqa: B007 - the last one counts
            if chunk is None:
                await self._turns.pause()
        if body.more:
            entry.body = await asyncio.to_thread(blob_of, body)
        else:
            entry.body = blob_of(body)
        entry.body_rows = tuple(entry.rows)
        entry.rows = {}

    async def _commit(self, batch: _Batch) -> None:
        parts = batch.parts
        for part in parts:
            part.entry.changed = False
            part.entry.begun_to_write = True
        beats = self._waiting.runs and self._beats.due
        try:
            async with self._database.session() as session:
                if beats:
                    await self._beats.beat(session)
                await self._insert(session, parts)
        except BaseException:
            for part in parts:
                part.entry.changed = not part.entry.removed
            raise
        if beats:
            self._beats.done()
        for part in parts:
            self._done(part)
            self.written += part.rows

    async def _insert(self, session: AsyncSession, parts: list[_Part]) -> None:
        await self._measurements.execute(session, [part.line for part in parts])
        ids = {id(part): part.line[0] for part in parts}
        chunks = [
            (ids[id(part)], each.number, flat(each.rows), each.blob)
            for part in parts
            for each in part.packed
        ]
        words = [(word, ids[id(part)]) for part in parts for word in part.words]
        if chunks:
            await self._chunks.execute(session, chunks)
        if words:
            await self._words.execute(session, words)
        for part in parts:
            if part.unlisted is not None:
                await session.execute(
                    delete(MeasurementWord).where(
                        MeasurementWord.word == part.unlisted, MeasurementWord.id == ids[id(part)]
                    )
                )
        grown: dict[str, int] = {}
        for part in parts:
            account = part.summary.account_id
            grown[account] = grown.get(account, 0) + part.grown
        # Sorted: transactions of several coordinators lock the lines in one order.
        await self._accounts.execute(session, sorted(grown.items()))

    def _done(self, part: _Part) -> None:
        """The part is in the database."""
        entry = part.entry
        if part.ended:
            self._waiting.drop(entry)
            return
        # Rows may have been lost, or the entry, while it was written.
        entry.stored, entry.listed = True, part.listed
        entry.size += part.grown
        written = {each.number for each in part.packed}
        gone = [each for each in entry.packed if each.number in written]
        entry.packed = [each for each in entry.packed if each.number not in written]
        self._waiting.grow(entry, -sum(len(each.rows) for each in gone))


def _part(entry: Entry, *, line_bytes: int) -> _Part:
    summary = entry.summary
    listed = summary.outcome
    words: list[int] = []
    unlisted = None
    if not entry.stored:
        words = words_of(summary, listed)
    elif listed is not entry.listed:
        account, packet_type = summary.account_id, summary.options.packet_type
        words = [kind_word(account, packet_type, listed)]
        unlisted = kind_word(account, packet_type, entry.listed)
    head = head_of(summary)
    chunks = list(entry.packed)
    grown = sum(len(each.blob) + line_bytes for each in chunks)
    if not entry.stored:
        grown += (len(words) + 2) * line_bytes + len(head)
    if entry.body is not None:
        grown += len(entry.body)
    key = bytes.fromhex(summary.id)
    return _Part(
        entry=entry,
        summary=summary,
        ended=entry.ended,
        packed=chunks,
        listed=listed,
        words=words,
        unlisted=unlisted,
        line=(key, summary.account_id, entry.size + grown, head, entry.body),
        grown=grown,
        rows=sum(len(each.rows) for each in chunks) + len(entry.body_rows),
    )
