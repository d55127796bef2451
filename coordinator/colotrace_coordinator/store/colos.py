"""Known colos in the database, so that a restart does not turn their names into errors."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

import structlog
from colotrace_proto.messages import ColoName
from colotrace_proto.tags import Tag, tag_of
from sqlalchemy import delete, func, select

from colotrace_coordinator.colos.known import ColoFacts
from colotrace_coordinator.errors import StoreError

from .behind import pause, until_cancelled
from .database import Database
from .inserting import insert_into
from .tables import KnownColo

FORGOTTEN_AFTER_S = 30 * 86_400
KEPT_AT_LEAST_S = 15 * 60
KEPT_TIMES = 10
"""Without certificates anybody can invent a colo. Such a colo is kept, after its agents have left,
for this multiple of the time they were attached: at least `KEPT_AT_LEAST_S`, at most
`FORGOTTEN_AFTER_S`."""
_SEEN_EVERY_S = 6 * 3_600.0
SEEN_UNVOUCHED_EVERY_S = 300.0
WRITE_EVERY_S = 1.0
BATCH = 500
"""Colos written in one transaction. The statement's parameters take the event loop 5 ms at most."""
LOOK_EVERY_S = 60.0
"""Interval at which the database is checked for deleted colos."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RememberedColo:
    """A colo, its city and tags; times in Unix seconds."""

    name: ColoName
    city: str
    last_seen_at: int = 0
    forget_at: int = 0
    tags: frozenset[Tag] = frozenset()


@dataclass(frozen=True, slots=True)
class KeptColo:
    """A colo that has agents now, to be kept for `keep_s` seconds from now."""

    name: ColoName
    city: str
    keep_s: float = FORGOTTEN_AFTER_S
    tags: frozenset[Tag] = frozenset()


class ColoStore:
    """Reads and writes the table of colos."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self.clock = clock

    async def remember(self, colos: Sequence[KeptColo]) -> None:
        """Record in one transaction that these colos, at least one, have agents now.

        Raises:
            StoreUnavailableError: the database does not answer; then none is recorded.
        """
        now = int(self.clock())
        rows = [
            {
                "name": colo.name,
                "city": colo.city[:128],
                "last_seen_at": now,
                "forget_at": now + int(colo.keep_s),
                "tags": " ".join(f"{tag.key}={tag.value}" for tag in sorted(colo.tags)),
            }
            for colo in colos
        ]
        statement = insert_into(KnownColo, dialect=self._database.dialect)
        new = statement.excluded
        columns = ("city", "last_seen_at", "forget_at", "tags")
        updated = {column: new[column] for column in columns}
        async with self._database.session() as session:
            await session.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_=updated), rows
            )

    async def forget(self, names: Sequence[str]) -> list[str]:
        """Delete the colos in one transaction; returns those of them that were known.

        Raises:
            StoreUnavailableError: the database does not answer; then none is deleted.
        """
        async with self._database.session() as session:
            found = await session.scalars(
                delete(KnownColo).where(KnownColo.name.in_(names)).returning(KnownColo.name)
            )
            return list(found)

    async def all(self) -> list[RememberedColo]:
        """All known colos, by name. Expired ones are deleted.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        now = int(self.clock())
        forget_at = func.coalesce(KnownColo.forget_at, KnownColo.last_seen_at + FORGOTTEN_AFTER_S)
        with suppress(StoreError):  # for example on a full disk, which can still be read
            async with self._database.session() as session:
                await session.execute(delete(KnownColo).where(forget_at < now))
        async with self._database.session() as session:
            statement = select(KnownColo).where(forget_at >= now).order_by(KnownColo.name)
            rows = await session.scalars(statement)
            return [
                RememberedColo(
                    ColoName(row.name),
                    row.city,
                    row.last_seen_at,
                    row.forget_at or row.last_seen_at + FORGOTTEN_AFTER_S,
                    # A tag of another form is a newer version's.
                    frozenset(tag for text in row.tags.split() if (tag := tag_of(text))),
                )
                for row in rows
            ]


class ColoMemory:
    """The colos that the registry has to remember. Calls never wait: changes are written later.

    `vouched` means that agents' certificates confirm their colos.
    """

    def __init__(
        self, store: ColoStore, remembered: Iterable[RememberedColo], *, vouched: bool = True
    ) -> None:
        self._store = store
        self._vouched = vouched
        colos = list(remembered)
        self._remembered = [(colo.name, ColoFacts(colo.city, colo.tags)) for colo in colos]
        # By colo: when its agents attached, and how long the database keeps it.
        self._since: dict[ColoName, float] = {}
        self._keep_s = {c.name: float(c.forget_at - c.last_seen_at) for c in colos}
        self._unwritten: dict[ColoName, ColoFacts] = {}
        self._forgotten: set[ColoName] = set()

    @classmethod
    async def load(cls, store: ColoStore, *, vouched: bool = True) -> "ColoMemory":
        """Load the known colos.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return cls(store, await store.all(), vouched=vouched)

    def all(self) -> list[tuple[ColoName, ColoFacts]]:
        """The colos that were known at the start."""
        return self._remembered

    def remember(self, name: ColoName, facts: ColoFacts) -> None:
        """Queue the colo to be written."""
        self._forgotten.discard(name)
        self._unwritten[name] = facts

    def forget(self, name: ColoName) -> None:
        """Queue the colo to be deleted."""
        self._unwritten.pop(name, None)
        self._since.pop(name, None)
        self._keep_s.pop(name, None)
        self._forgotten.add(name)

    async def run(
        self,
        attached: Callable[[], Iterable[tuple[ColoName, ColoFacts]]],
        forget: Callable[[ColoName], object] = lambda _: None,
    ) -> None:
        """Write until cancelled. The `attached` colos are renewed periodically. `forget` is called
        with each colo that was deleted from the database."""
        await until_cancelled(lambda stopping: self._run(attached, forget, stopping))

    async def _run(
        self,
        attached: Callable[[], Iterable[tuple[ColoName, ColoFacts]]],
        forget: Callable[[ColoName], object],
        stopping: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        every_s = _SEEN_EVERY_S if self._vouched else SEEN_UNVOUCHED_EVERY_S
        seen_at, looked_at = loop.time() - every_s, loop.time()
        while True:
            last = stopping.is_set()
            if loop.time() >= seen_at + every_s:
                seen_at = loop.time()
                for name, facts in attached():
                    self._unwritten.setdefault(name, facts)
            try:
                await self._write()
                if loop.time() >= looked_at + LOOK_EVERY_S:
                    looked_at = loop.time()
                    await self._look(forget)
            except StoreError as error:
                waiting = len(self._unwritten) + len(self._forgotten)
                log.warning("colo_not_written", error=str(error), waiting=waiting)
            if last:
                return
            await pause(stopping, seconds=WRITE_EVERY_S)

    async def _look(self, forget: Callable[[ColoName], object]) -> None:
        """Report the colos that have expired, or that an operator has deleted."""
        kept = {colo.name for colo in await self._store.all()}
        for name in [each for each in self._keep_s if each not in kept]:
            if name not in self._unwritten:
                forget(name)

    def _keep(self, name: ColoName) -> float:
        """How long the colo is to be kept from now, in seconds."""
        if self._vouched:
            return FORGOTTEN_AFTER_S
        now = self._store.clock()
        there_s = now - self._since.setdefault(name, now)
        keep_s = max(self._keep_s.get(name, 0.0), KEPT_TIMES * there_s, KEPT_AT_LEAST_S)
        return min(keep_s, FORGOTTEN_AFTER_S)

    async def _write(self) -> None:
        while self._forgotten:
            names = list(islice(self._forgotten, BATCH))
            await self._store.forget(names)
            self._forgotten.difference_update(names)
        while self._unwritten:
            batch = [
                KeptColo(name, facts.city, self._keep(name), facts.tags)
                for name, facts in islice(self._unwritten.items(), BATCH)
            ]
            # Sorted: transactions of several coordinators lock the rows in one order.
            await self._store.remember(sorted(batch, key=attrgetter("name")))
            for colo in batch:
                # It may have changed during the write.
                if self._unwritten.get(colo.name) == ColoFacts(colo.city, colo.tags):
                    del self._unwritten[colo.name]
                    self._keep_s[colo.name] = colo.keep_s
