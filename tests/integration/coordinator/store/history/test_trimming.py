"""What is too old or too much is deleted, with SQLite and PostgreSQL."""

import asyncio
from pathlib import Path

from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.history.trimming import AT_ONCE
from colotrace_coordinator.store.location import Location
from colotrace_coordinator.store.tables import (
    CoordinatorBeat,
    Measurement,
    MeasurementAccount,
    MeasurementChunk,
    MeasurementWord,
)
from colotrace_proto.measured import Summary
from colotrace_proto.tally import NOTHING_KNOWN
from integration.coordinator.store.history.conftest import Make, queue
from integration.coordinator.store.history.test_history import count
from manual_clock import ManualClock
from recorded import complete, row, summary
from sqlalchemy import func, select, update

DAY_MS = 86_400_000
COLOS = [f"den{number}" for number in range(64)]


async def trim(history: History) -> int:
    """All steps; returns how many deleted something."""
    steps = 0
    while await history.trim():
        steps += 1
    return steps


async def listed(history: History, account: str) -> list[str]:
    found = await history.newest(account, Filter(), before=None, most=1_000)
    return [each.id for each in found]


async def test_old_measurements_are_deleted(
    make: Make, clock: ManualClock, database: Database
) -> None:
    """With everything that belongs to them, a limited number in each transaction."""
    history, now_ms = make(keep_days=2), int(clock.now * 1_000)
    for _ in range(AT_ONCE + 1):
        queue(history, summary(began_ms=now_ms - 2 * DAY_MS - 1))
    young = summary(began_ms=now_ms - 2 * DAY_MS)
    queue(history, young)
    queue(history, summary(began_ms=now_ms - 3 * DAY_MS, colos=[*COLOS, "sin01"]))
    await history.write()
    assert await trim(history) == 2
    assert history.trimmed == AT_ONCE + 2
    assert await listed(history, "a1") == [young.id]
    assert await count(database, Measurement) == 1
    assert await count(database, MeasurementChunk) == 0
    assert await count(database, MeasurementWord) == 3
    clock.now += 1
    assert await trim(history) == 1
    assert await listed(history, "a1") == []


async def test_account_with_the_largest_part_loses_its_oldest(make: Make) -> None:
    probing = make()
    small = [summary(account="small") for _ in range(2)]
    for each in small[:1]:
        queue(probing, each)
    large = [summary(account="large", colos=COLOS) for _ in range(2 * AT_ONCE)]
    for each in large:
        queue(probing, each)
    queue(probing, small[1])
    await probing.write()
    assert not await probing.trim()
    history = make(keep_bytes=int(probing.bytes * 0.7))
    assert await trim(history) == 1
    assert history.bytes <= probing.bytes * 0.7
    kept = 2 * AT_ONCE - history.trimmed
    assert kept > AT_ONCE
    assert await listed(history, "small") == [small[1].id, small[0].id]
    assert await listed(history, "large") == [each.id for each in reversed(large[-kept:])]


async def test_coordinators_that_trim_together_count_once(
    make: Make, database: Database, clock: ManualClock
) -> None:
    history, now_ms = make(keep_days=1), int(clock.now * 1_000)
    for _ in range(5):
        queue(history, summary(began_ms=now_ms - 2 * DAY_MS))
    queue(history, summary(began_ms=now_ms))
    await history.write()
    both = [make(keep_days=1, coordinator=digit * 32) for digit in "ab"]
    await asyncio.gather(*(each.trim() for each in both))
    assert sum(each.trimmed for each in both) == 5
    async with database.session() as session:
        counted = await session.scalar(select(MeasurementAccount.size))
        assert counted == await session.scalar(select(func.sum(Measurement.size)))


async def test_too_small_a_bound_ends(make: Make, database: Database) -> None:
    """Everything is deleted, and then nothing more."""
    history = make(keep_bytes=1)
    for account in ("a1", "a2"):
        queue(history, summary(account=account))
    await history.write()
    assert await trim(history) >= 2
    assert await count(database, Measurement) == 0


async def test_space_of_deleted_measurements_is_used_again(
    make: Make, database: Database, location: Location, clock: ManualClock
) -> None:
    """SQLite's file does not grow beyond the most that it held."""
    history = make(keep_days=1)

    async def fill() -> None:
        for _ in range(100):
            queue(history, summary(began_ms=int(clock.now * 1_000), colos=COLOS))
        await history.write()

    await fill()
    await history.trim()
    first = history.bytes
    clock.now += 2 * 86_400
    await trim(history)
    assert history.bytes < first * 0.5
    await fill()
    await history.trim()
    assert history.bytes < first * 1.2
    if location.file is not None:
        await database.close()
        assert size(location.file) < first * 1.2


def size(file: Path) -> int:
    return file.stat().st_size


async def test_zero_days_keep_nothing(make: Make, database: Database, clock: ManualClock) -> None:
    """A measurement is found while it runs; what was kept before is deleted."""
    earlier = make()
    queue(earlier, summary(began_ms=int(clock.now * 1_000) - 1))
    await earlier.write()
    history = make(keep_days=0)
    told = summary(began_ms=int(clock.now * 1_000))
    history.begun(told)
    history.row(told, 0, row(told))
    await history.write()
    assert await history.find("a1", told.id) == told
    history.ended(complete(told), NOTHING_KNOWN)
    await history.write()
    await trim(history)
    assert await history.find("a1", told.id) is None
    assert history.waiting == 0
    assert await count(database, Measurement) == 0


async def test_coordinators_that_are_long_gone_are_forgotten(
    make: Make, database: Database
) -> None:
    history = make(keep_days=1)
    told: list[Summary] = [summary(), summary()]
    history.begun(told[0])
    await history.write()
    await history.prune()
    assert await count(database, CoordinatorBeat) == 1
    async with database.session() as session:
        await session.execute(
            update(CoordinatorBeat).values(beat_ms=CoordinatorBeat.beat_ms - 3 * DAY_MS)
        )
    await history.prune()
    assert await count(database, CoordinatorBeat) == 0
