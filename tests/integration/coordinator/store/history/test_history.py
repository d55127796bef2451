"""Measurements are kept as they were, and found, with SQLite and PostgreSQL."""

from pathlib import Path
from typing import Any

import pytest
from colotrace_coordinator.errors import DamagedMeasurementError, StoreUnavailableError
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history import reading
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.store.tables import (
    CoordinatorBeat,
    Measurement,
    MeasurementAccount,
    MeasurementChunk,
    MeasurementWord,
)
from colotrace_proto.measured import Measured, Options, Outcome, Status
from colotrace_proto.messages import ColoName, PacketType
from colotrace_proto.tally import NOTHING_KNOWN
from integration.coordinator.store.history.conftest import Make, queue
from msgspec.structs import replace
from recorded import BEGAN_MS, complete, row, summary
from sqlalchemy import func, select, text, update

DEN, SIN = ColoName("den01"), ColoName("sin01")


async def count(database: Database, table: Any) -> int:
    async with database.session() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


def ids(found: Any) -> list[str]:
    return [each.id for each in found]


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


async def test_listed_newest_first_in_pages(history: History) -> None:
    """Pages by id are stable while new measurements begin, some of them not yet written."""
    told = []
    for number in range(10):
        told.append(summary(began_ms=BEGAN_MS + number // 2))
        queue(history, told[-1])
        if number % 3 == 0:
            await history.write()
    expected = [each.id for each in reversed(told)]
    assert ids(await history.newest("a1", Filter(), before=None, most=100)) == expected
    first = await history.newest("a1", Filter(), before=None, most=4)
    queue(history, summary(began_ms=BEGAN_MS + 10))
    second = await history.newest("a1", Filter(), before=first[-1].id, most=4)
    await history.write()
    third = await history.newest("a1", Filter(), before=second[-1].id, most=4)
    assert ids([*first, *second, *third]) == expected
    assert await history.newest("a1", Filter(), before=expected[-1], most=4) == []


@pytest.mark.parametrize("far", [0, 1_000])
async def test_pages_by_number(history: History, monkeypatch: pytest.MonkeyPatch, far: int) -> None:
    """Of measurements that are written, that run and are written in part, and that wait."""
    monkeypatch.setattr(reading, "FAR", far)
    told = [summary(colos=["den01", "den02"]) for _ in range(9)]
    for number, each in enumerate(told):
        if number in (1, 4, 6):
            history.begun(each)
            history.row(each, 0, row(each))
        else:
            queue(history, each)
        if number == 5:
            await history.write()
    history.row(told[4], 1, row(told[4], 1, code=2))
    history.ended(complete(told[4], failed=1), NOTHING_KNOWN)
    for wanted in (Filter(), Filter(colo="den"), Filter(outcome=Outcome.COMPLETE)):
        expected = [each.id for each in reversed(told)]
        if wanted.outcome is not None:
            others = {told[number].id for number in (1, 4, 6)}  # unfinished, or with an error
            expected = [each for each in expected if each not in others]
        for skip in range(11):
            found = await history.newest("a1", wanted, before=None, most=3, skip=skip)
            assert ids(found) == expected[skip : skip + 3]
            found = await history.newest("a1", wanted, before=told[7].id, most=3, skip=skip)
            assert ids(found) == [each for each in expected if each < told[7].id][skip : skip + 3]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), [4, 3, 2, 1, 0]),
        (Filter(target="b.example"), [4, 2, 1]),
        (Filter(target="c.example"), []),
        (Filter(colo="den01"), [3, 1, 0]),
        (Filter(colo="den"), [4, 3, 1, 0]),
        (Filter(colo="sin"), [3, 2]),
        (Filter(colo="si"), []),
        (Filter(target="b.example", colo="den"), [4, 1]),
        (Filter(since_ms=BEGAN_MS + 10_000), [4, 3, 2, 1]),
        (Filter(until_ms=BEGAN_MS + 10_000), [0]),
        (Filter(since_ms=BEGAN_MS + 1, until_ms=BEGAN_MS + 30_000), [2, 1]),
        (Filter(packet_type=PacketType.UDP), [3, 1]),
        (Filter(outcome=Outcome.ERRORS), [2]),
        (Filter(outcome=Outcome.UNREACHED), [1]),
        (Filter(colo="den", packet_type=PacketType.ICMP, outcome=Outcome.COMPLETE), [4, 0]),
        (Filter(target="a.example", colo="sin", since_ms=BEGAN_MS + 30_000), [3]),
    ],
)
@pytest.mark.parametrize("written", [False, True])
async def test_filtered(
    history: History, wanted: Filter, expected: list[int], *, written: bool
) -> None:
    udp = Options(packet_type=PacketType.UDP)
    asked: list[dict[str, Any]] = [
        {"targets": ["a.example"], "colos": [DEN]},
        {"targets": ["a.example", "b.example"], "colos": [DEN], "options": udp},
        {"targets": ["b.example"], "colos": [SIN]},
        {"targets": ["a.example"], "colos": [DEN, SIN], "options": udp},
        {"targets": ["b.example"], "colos": ["den02"]},
    ]
    outcomes: list[dict[str, Any]] = [{}, {"unreached": 1}, {"failed": 1}, {}, {}]
    told = []
    for number, (fields, outcome) in enumerate(zip(asked, outcomes, strict=True)):
        told.append(summary(began_ms=BEGAN_MS + number * 10_000, **fields))
        queue(history, told[-1], **outcome)
        if written:
            await history.write()
    found = await history.newest("a1", wanted, before=None, most=9)
    assert [ids(told).index(each.id) for each in found] == expected
    assert await history.newest("a1", wanted, before=None, most=1) == found[:1]


async def test_measurement_is_listed_under_its_last_outcome(
    history: History, make: Make, database: Database
) -> None:
    told = summary(colos=["den01", "den02", "den03"])
    other = make(coordinator="f" * 32)

    async def outcomes() -> list[Outcome]:
        await history.write()
        return [
            outcome
            for outcome in Outcome
            if await other.newest("a1", Filter(outcome=outcome), before=None, most=9)
        ]

    history.begun(told)
    assert await outcomes() == [Outcome.UNFINISHED]
    history.row(told, 0, row(told, 0, reached=False))
    history.row(told, 1, row(told, 1, code=2))
    assert await outcomes() == [Outcome.UNFINISHED]
    history.ended(complete(told, failed=1, unreached=1), NOTHING_KNOWN)
    assert await outcomes() == [Outcome.ERRORS]
    assert await count(database, MeasurementWord) == 5


async def test_rows_of_a_pair_over_time(history: History) -> None:
    """One row of each measurement, from that measurement on backwards."""
    told = [
        summary(targets=["a.example"], colos=[DEN]),
        summary(targets=["b.example"], colos=[DEN]),
        summary(
            targets=["b.example", "a.example"],
            colos=[*(f"fra{number}" for number in range(300)), DEN],
        ),
        summary(targets=["a.example"], colos=[SIN]),
        summary(targets=["a.example", "a.example"], colos=[DEN]),
        summary(targets=["a.example"], colos=[DEN]),
    ]
    measured = [queue(history, each) for each in told[:-1]]
    await history.write()
    measured.append(queue(history, told[-1]))
    found = await history.pair("a1", "a.example", DEN, up_to=told[4].id, most=9)
    numbers = {4: 0, 2: 601, 0: 0}
    assert found == [
        Measured(
            summary=measured[place].summary,
            traces={number: measured[place].traces[number]},
            known=measured[place].known,
        )
        for place, number in numbers.items()
    ]
    newest = await history.pair("a1", "a.example", DEN, up_to="f" * 32, most=2)
    assert [each.summary.id for each in newest] == [told[5].id, told[4].id]


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


async def test_index_leads_to_the_newest(tmp_path: Path) -> None:
    """SQLite plans to read no more lines than it returns. PostgreSQL plans by statistics."""
    database = await Database.open(locate(data=tmp_path, database=None))
    async with database.session() as session:
        lines = await session.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT id FROM measurement_words WHERE word = 1 AND id < x'00' "
                "ORDER BY id DESC LIMIT 20"
            )
        )
        plans = [line[-1] for line in lines]
    await database.close()
    assert plans == ["SEARCH measurement_words USING PRIMARY KEY (word=? AND id<?)"]
