"""Deletes measurements: one that is to go, those that are too old, and the oldest beyond the size.

Each transaction deletes a limited number of lines, so that nothing waits long for it. Beyond the
size, the account that occupies the most loses its oldest measurements: one account cannot displace
the others'.
"""

from collections.abc import Sequence

from colotrace_proto.measured import Outcome
from sqlalchemy import ColumnElement, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.tables import (
    Measurement,
    MeasurementAccount,
    MeasurementChunk,
    MeasurementWord,
)

from .finding import first_id, key_of, oldest_ids
from .heads import summary_of
from .seal import DamageError
from .statements import Deletions, Statements
from .words import kind_word, words_of

AT_ONCE = 100
MAX_LINES = 5_000
"""Measurements, and lines of the index, deleted in one transaction."""
DAY_MS = 86_400_000


class Trimmer:
    """Deletes measurements. `keep_days` and `keep_bytes` are the bounds of what is kept."""

    def __init__(
        self, database: Database, statements: Statements, *, keep_days: int, keep_bytes: int
    ) -> None:
        self._database = database
        self._statements = statements
        self._keep_days = keep_days
        self._keep_bytes = keep_bytes
        self._words = Deletions(MeasurementWord)
        self._accounts = statements.sums(MeasurementAccount)
        self.bytes = 0
        """What the database occupied at the last look; see `_measure`."""
        self.trimmed = 0
        """Measurements deleted since the start, because of their age or the size."""

    async def remove(self, account_id: str, measurement_id: str) -> bool:
        """Delete the account's measurement; returns whether there was one.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        key = key_of(measurement_id)
        if key is None:
            return False
        async with self._database.session() as session:
            return bool(await self._delete(session, [key], account_id=account_id))

    async def step(self, *, now_ms: int) -> bool:
        """Delete some measurements beyond the bounds; returns whether there may be more.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._database.session() as session:
            keys = await self._too_old(session, now_ms)
            if not keys:
                self.bytes = await self._measure(session)
                if self.bytes > self._keep_bytes:
                    keys = await self._oldest_of_the_largest(session)
            deleted = await self._delete(session, keys) if keys else 0
        self.trimmed += deleted
        return deleted > 0

    async def _too_old(self, session: AsyncSession, now_ms: int) -> list[bytes]:
        end = first_id(now_ms - self._keep_days * DAY_MS)
        statement = select(Measurement.id).where(Measurement.id < end)
        found = await session.scalars(statement.order_by(Measurement.id).limit(AT_ONCE))
        return list(found)

    async def _measure(self, session: AsyncSession) -> int:
        """Bytes in use.

        Those of SQLite's file without its free pages. Of PostgreSQL the counted sizes, since its
        tables do not shrink when lines are deleted.
        """
        if self._statements.dialect == "sqlite":
            pages, free, size = [
                int(await session.scalar(text(f"PRAGMA {name}")) or 0)
                for name in ("page_count", "freelist_count", "page_size")
            ]
            return (pages - free) * size
        return int(await session.scalar(select(func.sum(MeasurementAccount.size))) or 0)

    async def _oldest_of_the_largest(self, session: AsyncSession) -> list[bytes]:
        account = await session.scalar(
            select(MeasurementAccount.account_id)
            .order_by(MeasurementAccount.size.desc(), MeasurementAccount.account_id)
            .limit(1)
        )
        if account is None:
            return []
        keys = await oldest_ids(session, account, most=AT_ONCE)
        if not keys:  # its size was counted wrongly
            await session.execute(
                delete(MeasurementAccount).where(MeasurementAccount.account_id == account)
            )
        return keys

    async def _delete(
        self, session: AsyncSession, keys: Sequence[bytes], *, account_id: str | None = None
    ) -> int:
        """Delete the first of these measurements, as many as have `MAX_LINES` in all, but at least
        one; returns how many."""
        line = Measurement
        mine: ColumnElement[bool] = line.id.in_(keys)
        if account_id is not None:
            mine &= line.account_id == account_id
        statement = select(line.id, line.account_id, line.head).where(mine).order_by(line.id)
        ids: list[bytes] = []
        words: list[tuple[int, bytes]] = []
        for key, account, head in await session.execute(statement):
            more = await self._words_of(session, key, account, head)
            if ids and len(words) + len(more) > MAX_LINES:
                break
            ids.append(key)
            words += more
        await self._words.execute(session, words)
        await session.execute(delete(MeasurementChunk).where(MeasurementChunk.id.in_(ids)))
        # SQLite's columns may have any type: what cannot be counted is not.
        gone = delete(line).where(line.id.in_(ids)).returning(line.account_id, line.size)
        freed: dict[str, int] = {}
        count = 0
        # Another coordinator may have deleted some of them meanwhile, and counted these.
        for account, size in await session.execute(gone):
            if isinstance(account, str) and isinstance(size, int):
                freed[account] = freed.get(account, 0) - size
            count += 1
        await self._accounts.execute(session, sorted(freed.items()))
        return count

    async def _words_of(
        self, session: AsyncSession, key: bytes, account: str, head: bytes
    ) -> list[tuple[int, bytes]]:
        try:
            summary = summary_of(key.hex(), account, head)
            words = words_of(summary, summary.outcome)
        except (DamageError, TypeError):
            # Without the summary, or the account, only a scan of the index finds them.
            await session.execute(delete(MeasurementWord).where(MeasurementWord.id == key))
            return []
        packet_type = summary.options.packet_type
        words += [kind_word(account, packet_type, outcome) for outcome in Outcome]
        return [(word, key) for word in dict.fromkeys(words)]
