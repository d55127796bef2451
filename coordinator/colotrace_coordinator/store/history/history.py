"""The history: measurements are queued, written behind the answers, and read again (ADR 18)."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from colotrace_proto.measured import Measured, Summary, Trace
from colotrace_proto.messages import ColoName
from colotrace_proto.tally import Known

from colotrace_coordinator.errors import StoreError
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.behind import pause, until_cancelled
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.turns import Turns

from .beats import LOST_AFTER_MS, Beats
from .reading import Reader
from .statements import Statements
from .trimming import DAY_MS, Trimmer
from .waiting import MAX_WAITING_ROWS, Waiting
from .writing import Writer

KEEP_DAYS = 30
KEEP_BYTES = 10 << 30
WRITE_EVERY_S = 0.4
"""A killed coordinator loses what it answered since the last write."""
RETRY_EVERY_S = 2.0
"""How often a database that refused is tried again."""
TRIM_EVERY_S = 10.0
PRUNE_EVERY_S = 3_600.0
_TRIM_PAUSE_S = 0.02

log = structlog.get_logger(__name__)


class History:
    """Keeps measurements. `begun`, `row` and `ended` only queue; `run` writes.

    What is queued is found like what is written. With `keep_days` 0 nothing is kept: a measurement
    is found while it runs.
    """

    def __init__(
        self,
        database: Database,
        *,
        coordinator: str,
        turns: Turns,
        keep_days: int = KEEP_DAYS,
        keep_bytes: int = KEEP_BYTES,
        clock: Callable[[], float] = time.time,
        lost_after_ms: int = LOST_AFTER_MS,
        most_rows: int = MAX_WAITING_ROWS,
    ) -> None:
        """`coordinator` identifies this process; `clock` is Unix time in seconds. `most_rows` may
        wait to be written."""
        statements = Statements(database.dialect)
        self._database = database
        self._keep_days = keep_days
        self._clock = clock
        self._waiting = Waiting(most_rows=most_rows)
        self._beats = Beats(coordinator, statements, lost_after_ms=lost_after_ms)
        self._writer = Writer(
            database, self._waiting, statements=statements, beats=self._beats, turns=turns
        )
        self._reader = Reader(database, self._waiting, beats=self._beats, turns=turns)
        self._trimmer = Trimmer(database, statements, keep_days=keep_days, keep_bytes=keep_bytes)
        # Writing and deleting exclude one another.
        self._lock = asyncio.Lock()
        self.trouble = ""
        """Why measurements cannot be written now; "" if they can."""
        self.failures = 0
        """Writes that failed since the start."""

    @property
    def waiting(self) -> int:
        """Rows and measurements that wait to be written."""
        return self._waiting.rows

    @property
    def dropped(self) -> int:
        """Rows that were lost since the start, because too many waited."""
        return self._waiting.dropped

    @property
    def written(self) -> int:
        """Rows written since the start."""
        return self._writer.written

    @property
    def trimmed(self) -> int:
        """Measurements deleted since the start, because of their age or the size."""
        return self._trimmer.trimmed

    @property
    def damaged(self) -> int:
        """Measurements that were found damaged since the start; see `Reader.damaged`."""
        return self._reader.damaged

    @property
    def bytes(self) -> int:
        """Bytes in use in the database, at the last look."""
        return self._trimmer.bytes

    def begun(self, summary: Summary) -> None:
        """A measurement begins."""
        self._waiting.begun(summary)

    def row(self, summary: Summary, number: int, trace: Trace) -> None:
        """A row of it has ended. `summary` is that of its begin."""
        if self._keep_days:
            self._waiting.row(summary, number, trace)

    def ended(self, summary: Summary, known: Known) -> None:
        """It has ended. `known` has the names and ASNs of its addresses."""
        self._waiting.ended(summary, known)
        if not self._keep_days:
            self._waiting.forget(summary.id)

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        """The account's measurement of that id, without its rows; see `Reader.find`.

        Raises:
            StoreUnavailableError: the database does not answer.
            DamagedMeasurementError: what the database has of it is damaged.
        """
        return await self._reader.find(account_id, measurement_id)

    async def show(self, account_id: str, measurement_id: str) -> Measured | None:
        """The account's measurement of that id; see `Reader.show`.

        Raises:
            StoreUnavailableError: the database does not answer.
            DamagedMeasurementError: what the database has of it is damaged.
        """
        return await self._reader.show(account_id, measurement_id)

    async def newest(
        self, account_id: str, wanted: Filter, *, before: str | None, most: int, skip: int = 0
    ) -> Sequence[Summary]:
        """The account's measurements, newest first; see `Reader.newest`.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return await self._reader.newest(account_id, wanted, before=before, most=most, skip=skip)

    async def pair(
        self, account_id: str, target: str, colo: ColoName, *, up_to: str, most: int
    ) -> Sequence[Measured]:
        """The rows of a target and a colo over time; see `Reader.pair`.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return await self._reader.pair(account_id, target, colo, up_to=up_to, most=most)

    async def remove(self, account_id: str, measurement_id: str) -> bool:
        """Delete the account's measurement; returns whether there was one. What still comes of one
        that runs is ignored.

        Raises:
            StoreUnavailableError: the database does not answer; then it is kept.
        """
        async with self._lock:
            entry = self._waiting.get(measurement_id, account_id)
            found = False
            if entry is None or entry.stored:
                found = await self._trimmer.remove(account_id, measurement_id)
            if entry is not None:
                self._waiting.remove(entry)
            return found or entry is not None

    async def write(self) -> None:
        """Write what waits.

        Raises:
            StoreUnavailableError: the database does not answer, or its disk is full.
        """
        if not self._keep_days:
            return
        async with self._lock:
            await self._writer.write()

    async def trim(self) -> bool:
        """Delete some of what is too old or too much; returns whether there may be more.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._lock:
            return await self._trimmer.step(now_ms=int(self._clock() * 1_000))

    async def prune(self) -> None:
        """Forget coordinators that have not run for longer than measurements are kept.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._database.session() as session:
            await self._beats.prune(session, kept_ms=(self._keep_days + 1) * DAY_MS)

    async def run(self) -> None:
        """Write and trim until cancelled; then write what is left."""
        await until_cancelled(self._run)

    async def _run(self, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        trim_at = prune_at = loop.time()
        while not stopping.is_set():
            wait_s = WRITE_EVERY_S
            try:
                await self.write()
                if loop.time() >= trim_at:
                    more = await self.trim()
                    wait_s = _TRIM_PAUSE_S if more else wait_s
                    trim_at = loop.time() + (0 if more else TRIM_EVERY_S)
                if loop.time() >= prune_at:
                    await self.prune()
                    prune_at = loop.time() + PRUNE_EVERY_S
                self._tell("")
            except StoreError as error:
                self.failures += 1
                self._tell(str(error))
                wait_s = RETRY_EVERY_S
            except Exception as error:  # a fault of ours must cost history, not answers
                if not self.trouble:
                    log.exception("history_fault")
                self.failures += 1
                self._tell(f"{type(error).__name__}: {error}")
                wait_s = RETRY_EVERY_S
            await pause(stopping, seconds=wait_s)
        try:
            await self.write()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on stopping
            log.warning("history_lost", error=str(error), rows=self.waiting)

    def _tell(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.error("history_not_written", error=trouble, waiting=self.waiting)
        elif self.trouble and not trouble:
            log.info("history_written_again", dropped=self.dropped)
        self.trouble = trouble
