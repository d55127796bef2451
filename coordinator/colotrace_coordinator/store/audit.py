"""The audit log of what is done with measurements, and each credential's last use.

Both are written in batches after the answers, so that no answer waits for the database. The queue
holds at most `MAX_WAITING` lines; then the oldest are dropped and counted.
"""

import asyncio
import enum
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog
from sqlalchemy import delete, func, insert, select

from colotrace_coordinator.errors import StoreError

from .behind import pause, until_cancelled
from .credentials import Credentials
from .database import Database
from .tables import AuditLine

MAX_WAITING = 10_000
KEPT_LINES = 100_000
KEPT_S = 30 * 86_400
_WRITE_EVERY_S = 1.0
_USED_EVERY_S = 60.0
_PRUNE_EVERY_S = 3_600.0

log = structlog.get_logger(__name__)


class Action(enum.StrEnum):
    """What a client did."""

    MEASURE = "measure"
    CANCEL = "cancel"
    REMOVE = "remove"

    # Of the fleet. At most 16 characters.
    DRAIN = "drain"
    UNDRAIN = "undrain"
    REVOKE = "revoke"
    RENAME = "rename"
    FORGET = "forget"
    ENROLL = "enroll"
    REVOKE_TOKEN = "revoke-token"  # noqa: S105 - an action
    RENAME_COLO = "rename-colo"
    FORGET_COLO = "forget-colo"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action. `at` is in Unix seconds; the last three fields are JSON, those of the
    measurement. `measurement_id` is "" if none was begun. Of an action on the fleet, `targets` are
    the agents or the join token, and `options` are its details."""

    at: int
    action: Action
    measurement_id: str
    request_id: str
    account_id: str
    credential_id: str
    client: str
    status: int
    duration_ms: int
    targets: str
    colos: str
    options: str


class Audit:
    """Queues audit lines and uses of credentials, and writes them to the database."""

    def __init__(
        self,
        database: Database,
        credentials: Credentials,
        *,
        kept_lines: int = KEPT_LINES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._credentials = credentials
        self._kept_lines = kept_lines
        self._clock = clock
        self._waiting: deque[AuditEntry] = deque(maxlen=MAX_WAITING)
        self._used: set[str] = set()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Lines in the queue."""
        return len(self._waiting)

    def record(self, entry: AuditEntry) -> None:
        """Queue the line."""
        self.dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(entry)

    def used(self, credential_id: str) -> None:
        """Queue the credential's last use, which is written within about a minute."""
        self._used.add(credential_id)

    async def run(self) -> None:
        """Write until cancelled, and flush the queue before returning."""
        await until_cancelled(self._run)

    async def write(self) -> None:
        """Write the queued lines; they stay queued if that fails."""
        if not self._waiting:
            return
        lines = list(self._waiting)
        self._waiting.clear()
        try:
            async with self._database.session() as session:
                await session.execute(insert(AuditLine), [asdict(line) for line in lines])
        except BaseException:
            lost = max(0, len(lines) + len(self._waiting) - MAX_WAITING)
            self.dropped += lost
            self._waiting.extendleft(reversed(lines[lost:]))
            raise

    async def write_uses(self) -> None:
        """Write the credentials that were used since the previous call."""
        used, self._used = self._used, set()
        if used:
            await self._credentials.used(used)

    async def prune(self) -> None:
        """Delete lines that are too old, and the oldest beyond the maximum number."""
        async with self._database.session() as session:
            await session.execute(delete(AuditLine).where(AuditLine.at < self._clock() - KEPT_S))
            newest = await session.scalar(select(func.max(AuditLine.id)))
            if newest is not None:
                await session.execute(
                    delete(AuditLine).where(AuditLine.id <= newest - self._kept_lines)
                )

    async def _run(self, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        used_at = pruned_at = loop.time() - _PRUNE_EVERY_S
        while not stopping.is_set():
            try:
                await self.write()
                if loop.time() >= used_at + _USED_EVERY_S:
                    used_at = loop.time()
                    await self.write_uses()
                if loop.time() >= pruned_at + _PRUNE_EVERY_S:
                    pruned_at = loop.time()
                    await self.prune()
            except StoreError as error:
                log.warning("audit_not_written", error=str(error), waiting=len(self._waiting))
            await pause(stopping, seconds=_WRITE_EVERY_S)
        try:
            await self.write()
            await self.write_uses()
        except StoreError as error:
            log.warning("audit_lost", error=str(error), lines=len(self._waiting))
