"""Measurements are listed and found, with SQLite and PostgreSQL."""

from pathlib import Path
from typing import Any

import pytest
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history import reading
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.store.tables import MeasurementWord
from colotrace_proto.measured import Measured, Options, Outcome
from colotrace_proto.messages import ColoName, PacketType
from colotrace_proto.tally import NOTHING_KNOWN
from integration.coordinator.store.history.conftest import Make, count, ids, queue
from recorded import BEGAN_MS, complete, row, summary
from sqlalchemy import text

DEN = ColoName("den01")


SIN = ColoName("sin01")


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
