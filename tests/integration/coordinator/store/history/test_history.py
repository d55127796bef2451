"""Measurements are kept as they were, and removed, with SQLite and PostgreSQL."""

import pytest
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.tables import (
    CoordinatorBeat,
    Measurement,
    MeasurementAccount,
    MeasurementChunk,
    MeasurementWord,
)
from colotrace_proto.measured import Measured, Status
from colotrace_proto.tally import NOTHING_KNOWN
from integration.coordinator.store.history.conftest import Make, count, ids, queue
from recorded import complete, row, summary
from sqlalchemy import select, update


@pytest.mark.parametrize("rows", [0, 1, 64, 65, 200])
async def test_measurement_is_read_as_it_was(history: History, make: Make, rows: int) -> None:
    """While it waits, and once it is written."""
    told = summary(colos=[f"den{number}" for number in range(rows)])
    measured = queue(history, told)
    assert await history.show("a1", told.id) == measured
    assert await history.find("a1", told.id) == measured.summary
    await history.write()
    assert history.waiting == 0
    assert await history.show("a1", told.id) == measured
    assert await make().show("a1", told.id) == measured
    assert await make().find("a1", told.id) == measured.summary


async def test_other_accounts_do_not_find_it(history: History) -> None:
    told = summary()
    queue(history, told)
    for _ in range(2):
        assert await history.find("a2", told.id) is None
        assert await history.show("a2", told.id) is None
        assert await history.newest("a2", Filter(), before=None, most=9) == []
        assert not await history.remove("a2", told.id)
        await history.write()
    assert await history.find("a1", told.id) is not None


@pytest.mark.parametrize("unknown", ["", "x", "0" * 32, "0" * 31 + "G", "0" * 34])
async def test_unknown_id_is_not_found(history: History, unknown: str) -> None:
    assert await history.find("a1", unknown) is None
    assert await history.show("a1", unknown) is None
    assert not await history.remove("a1", unknown)


async def test_rows_of_a_running_measurement_are_written_as_they_come(
    history: History, make: Make
) -> None:
    """Another coordinator reads what there is; the one that runs it reads the rest as well."""
    told = summary(colos=["den01", "den02", "sin01"])
    rows = {number: row(told, number, code=number // 2) for number in range(3)}
    other = make(coordinator="f" * 32)
    history.begun(told)
    await history.write()
    assert await other.show("a1", told.id) == Measured(summary=told, traces={})
    for number in (2, 0):
        history.row(told, number, rows[number])
        await history.write()
    history.row(told, 1, rows[1])
    read = await other.show("a1", told.id)
    assert read is not None
    assert read.traces == {0: rows[0], 2: rows[2]}
    assert (read.summary.finished, read.summary.failed) == (2, 1)
    assert read.summary.status is Status.RUNNING
    here = await history.show("a1", told.id)
    assert here is not None
    assert here.traces == rows
    ended = complete(told, failed=1)
    history.ended(ended, NOTHING_KNOWN)
    await history.write()
    for each in (history, other):
        assert await each.show("a1", told.id) == Measured(summary=ended, traces=rows)


async def test_short_measurement_is_written_once(history: History, database: Database) -> None:
    queue(history, summary())
    await history.write()
    assert await count(database, Measurement) == 1
    assert await count(database, MeasurementChunk) == 0
    assert history.written == 1


async def test_measurement_of_a_lost_coordinator_is_partial(make: Make, database: Database) -> None:
    """With the rows that were written, for every reader; by the database's clock."""
    history, other = make(), make(coordinator="f" * 32)
    told = summary(colos=["den01", "den02"])
    history.begun(told)
    history.row(told, 1, row(told, 1))
    await history.write()
    assert (await other.newest("a1", Filter(), before=None, most=1))[0].status is Status.RUNNING
    async with database.session() as session:
        await session.execute(
            update(CoordinatorBeat).values(beat_ms=CoordinatorBeat.beat_ms - 6000)
        )
        beat_ms = await session.scalar(select(CoordinatorBeat.beat_ms))
    shown = await other.show("a1", told.id)
    assert shown is not None
    assert shown.traces == {1: row(told, 1)}
    [listed] = await other.newest("a1", Filter(), before=None, most=1)
    for each in (shown.summary, await other.find("a1", told.id), listed):
        assert each is not None
        assert each.status is Status.PARTIAL
        assert each.finished == 1
        assert each.ended_ms == max(beat_ms or 0, told.began_ms)
    async with database.session() as session:
        await session.execute(CoordinatorBeat.__table__.delete())
    found = await other.find("a1", told.id)
    assert found is not None
    assert found.status is Status.PARTIAL


@pytest.mark.parametrize("rows", [1, 100])
async def test_removed_measurement_leaves_nothing(
    history: History, database: Database, rows: int
) -> None:
    other = summary()
    queue(history, other)
    told = summary(colos=[f"den{number}" for number in range(rows)])
    queue(history, told, failed=1)
    await history.write()
    assert await history.remove("a1", told.id)
    assert await history.find("a1", told.id) is None
    assert not await history.remove("a1", told.id)
    assert ids(await history.newest("a1", Filter(), before=None, most=9)) == [other.id]
    assert await history.remove("a1", other.id)
    for table in (Measurement, MeasurementChunk, MeasurementWord):
        assert await count(database, table) == 0
    async with database.session() as session:
        assert await session.scalar(select(MeasurementAccount.size)) == 0


async def test_removed_while_it_waits_or_runs(history: History, database: Database) -> None:
    waiting, running = summary(), summary()
    queue(history, waiting)
    history.begun(running)
    history.row(running, 0, row(running))
    assert await history.remove("a1", waiting.id)
    await history.write()
    assert await history.remove("a1", running.id)
    history.ended(complete(running), NOTHING_KNOWN)
    await history.write()
    assert await history.newest("a1", Filter(), before=None, most=9) == []
    assert await count(database, Measurement) == 0
    assert history.waiting == 0
