"""Damage, a database that refuses, and rows that cannot be stored."""

import pytest
from colotrace_coordinator.errors import DamagedMeasurementError, StoreUnavailableError
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.tables import Measurement, MeasurementChunk, MeasurementWord
from colotrace_proto.measured import Status
from colotrace_proto.messages import ColoName
from colotrace_proto.tally import NOTHING_KNOWN
from integration.coordinator.store.history.conftest import Make, count, ids, queue
from msgspec.structs import replace
from recorded import complete, row, summary
from sqlalchemy import select, update

DEN = ColoName("den01")


async def test_damaged_measurement_is_an_error_of_its_own(
    history: History, database: Database
) -> None:
    """Reading it fails; the others are listed, shown, and all of them are removed."""
    good, body, head = summary(), summary(), summary()
    for each in (good, body, head):
        queue(history, each)
    await history.write()
    async with database.session() as session:
        for told, column in ((body, Measurement.body), (head, Measurement.head)):
            key = bytes.fromhex(told.id)
            blob = await session.scalar(select(column).where(Measurement.id == key))
            assert blob is not None
            changed = {column.key: blob[:-1] + bytes([blob[-1] ^ 1])}
            await session.execute(
                update(Measurement).where(Measurement.id == key).values(**changed)
            )
    for told in (body, head):
        with pytest.raises(DamagedMeasurementError, match=told.id):
            await history.show("a1", told.id)
    with pytest.raises(DamagedMeasurementError, match=head.id):
        await history.find("a1", head.id)
    assert await history.show("a1", good.id) is not None
    listed = await history.newest("a1", Filter(), before=None, most=9)
    assert ids(listed) == [body.id, good.id]
    pairs = await history.pair("a1", "www.example.com", DEN, up_to="f" * 32, most=9)
    assert [each.summary.id for each in pairs] == [good.id]
    for told in (good, body, head):
        assert await history.remove("a1", told.id)
    assert await count(database, MeasurementWord) == 0


async def test_rows_wait_while_the_database_refuses(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are shown meanwhile, and written later."""

    def away() -> None:
        raise StoreUnavailableError("away")

    told = summary(colos=[f"den{number}" for number in range(70)])
    history.begun(told)
    with monkeypatch.context() as patch:
        patch.setattr(database, "session", away)
        for number in range(69):
            history.row(told, number, row(told, number))
            if number % 30 == 0:
                with pytest.raises(StoreUnavailableError):
                    await history.write()
        shown = await history.show("a1", told.id)
        assert shown is not None
        assert sorted(shown.traces) == list(range(69))
    await history.write()
    history.row(told, 69, row(told, 69))
    history.ended(complete(told), NOTHING_KNOWN)
    await history.write()
    assert history.waiting == 0
    assert history.written == 70
    read = await history.show("a1", told.id)
    assert read is not None
    assert read.traces == {number: row(told, number) for number in range(70)}


async def test_measurement_that_cannot_be_packed_is_lost_alone(
    history: History, make: Make
) -> None:
    """A fault of ours, or of an agent, costs one measurement."""
    bad, good = summary(), summary()
    history.begun(bad)
    trace = row(bad)
    history.row(bad, 0, replace(trace, gathered=replace(trace.gathered, duration_ns=1 << 80)))
    queue(history, good)
    await history.write()
    assert history.dropped == 1
    assert ids(await make().newest("a1", Filter(), before=None, most=9)) == [good.id]
    history.ended(complete(bad), NOTHING_KNOWN)
    await history.write()
    assert history.waiting == 0
    read = await make().show("a1", bad.id)
    assert read is not None
    assert (read.summary.status, read.traces) == (Status.PARTIAL, {})


async def test_transaction_whose_commit_was_not_heard_of_is_repeated(
    make: Make, database: Database
) -> None:
    """The same lines again change nothing."""
    told = summary(colos=["den01", "den02"])
    for _ in range(2):
        history = make()
        history.begun(told)
        for number in range(2):
            history.row(told, number, row(told, number))
            await history.write()
    assert await count(database, MeasurementChunk) == 2
    read = await history.show("a1", told.id)
    assert read is not None
    assert len(read.traces) == 2
