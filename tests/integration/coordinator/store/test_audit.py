"""The audit is written after the answers, and is bounded."""

import asyncio

import pytest
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.store import audit as module
from colotrace_coordinator.store.audit import KEPT_S, Action, Audit, AuditEntry
from colotrace_coordinator.store.credentials import Credentials
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.tables import AuditLine, Token
from eventually import until
from manual_clock import ManualClock
from sqlalchemy import select


def entry(number: int, at: float) -> AuditEntry:
    return AuditEntry(
        at=int(at),
        action=Action.MEASURE,
        measurement_id="019ac5f0a1b27c3d8e4f5a6b7c8d9e0f",
        request_id=f"{number}",
        account_id="a1",
        credential_id="t1",
        client="192.0.2.1",
        status=200,
        duration_ms=12,
        targets='["one.one.one.one"]',
        colos='["den01"]',
        options="{}",
    )


@pytest.fixture
def audit(database: Database, clock: ManualClock) -> Audit:
    return Audit(database, Credentials(database), kept_lines=3, clock=clock)


async def written(database: Database) -> list[str]:
    async with database.session() as session:
        return list(await session.scalars(select(AuditLine.request_id).order_by(AuditLine.id)))


async def test_run_writes_the_last_entries(
    audit: Audit, database: Database, clock: ManualClock
) -> None:
    task = asyncio.create_task(audit.run())
    audit.record(entry(1, clock.now))

    async def first() -> bool:
        return await written(database) == ["1"]

    await until(first)
    audit.record(entry(2, clock.now))
    task.cancel()
    await asyncio.wait([task])
    assert await written(database) == ["1", "2"]


async def test_pruned(audit: Audit, database: Database, clock: ManualClock) -> None:
    """By number and by age."""
    for number in range(5):
        audit.record(entry(number, clock.now))
    await audit.write()
    await audit.prune()
    assert await written(database) == ["2", "3", "4"]
    clock.now += KEPT_S + 1
    await audit.prune()
    assert await written(database) == []


async def test_waiting_entries_are_bounded(
    audit: Audit, database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is down, the oldest entries are dropped and counted."""
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    small = Audit(database, Credentials(database), clock=clock)

    def away() -> None:
        raise StoreUnavailableError("away")

    for number in range(2):
        small.record(entry(number, clock.now))
    with monkeypatch.context() as patch:
        patch.setattr(database, "session", away)
        with pytest.raises(StoreUnavailableError):
            await small.write()
    for number in range(2, 5):
        small.record(entry(number, clock.now))
    assert small.dropped == 2
    await small.write()
    assert await written(database) == ["2", "3", "4"]


async def test_uses_of_credentials_are_recorded(database: Database, clock: ManualClock) -> None:
    credentials = Credentials(database, clock=clock)
    await credentials.create_token("a1")
    [token] = await credentials.all(Token)
    audit = Audit(database, credentials)
    audit.used(token.id)
    await audit.write_uses()
    [token] = await credentials.all(Token)
    assert token.last_used_at == clock.now
