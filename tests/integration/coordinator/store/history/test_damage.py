"""Damage in the database costs the measurement that has it, and nothing else.

SQLite's columns may have any type, so only a file of SQLite can have all of this damage.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from colotrace_coordinator.errors import DamagedMeasurementError
from colotrace_coordinator.measurements.shapes import SummaryShape
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import KEEP_BYTES, History
from colotrace_coordinator.store.history.seal import opened, sealed
from colotrace_coordinator.store.history.trimming import DAY_MS
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.turns import Turns
from colotrace_proto.measured import Status
from colotrace_proto.messages import ColoName
from integration.coordinator.store.history.conftest import queue
from recorded import BEGAN_MS, COORDINATOR, summary
from sqlalchemy import text
from structlog.testing import capture_logs

ROWS = 70
"""More than a chunk has: a measurement has chunks beside its body."""
Damage = tuple[str, Any]
"""A statement, and the value that it puts in; or what makes it of the head."""


class Kept:
    """A history of three measurements: the one in the middle is to be damaged."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.history = self.make()
        colos = [f"den{number:02}" for number in range(1, ROWS + 1)]
        told = [summary(), summary(colos=colos), summary()]
        for each in told:
            queue(self.history, each)
        self.good = [told[0].id, told[2].id]
        self.damaged = told[1].id
        self.key = bytes.fromhex(self.damaged)

    def make(self, *, days: float = 0, keep_bytes: int = KEEP_BYTES) -> History:
        now_s = (BEGAN_MS + days * DAY_MS) / 1_000
        return History(
            self.database,
            coordinator=COORDINATOR,
            turns=Turns(),
            keep_bytes=keep_bytes,
            clock=lambda: now_s,
        )

    async def damage(self, statement: str, value: Any) -> None:
        async with self.database.session() as session:
            if callable(value):
                told = await session.scalar(
                    text("SELECT head FROM measurements WHERE id = :id"), {"id": self.key}
                )
                value = value(told)
            await session.execute(text(statement), {"id": self.key, "value": value})


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    database = await Database.open(locate(data=tmp_path, database=None))
    kept = Kept(database)
    await kept.history.write()
    yield kept
    await database.close()


def head_with(place: int, value: Any) -> Callable[[bytes], bytes]:
    """The head, with another value at this place, and a right checksum."""

    def changed(head: bytes) -> bytes:
        content = msgspec.msgpack.decode(opened(head))
        content[place] = value
        return sealed(msgspec.msgpack.encode(content))

    return changed


_DEEP = b"\x91" * 50_000 + b"\x01"
HEAD = "UPDATE measurements SET head = :value WHERE id = :id"
BODY = "UPDATE measurements SET body = :value WHERE id = :id"
SIZE = "UPDATE measurements SET size = :value WHERE id = :id"
ROW_NUMBERS = "UPDATE measurement_chunks SET rows = :value WHERE id = :id"
TRACES = "UPDATE measurement_chunks SET traces = :value WHERE id = :id"
DAMAGE: dict[str, Damage] = {
    "head: number": (HEAD, 1 << 40),
    "head: text": (HEAD, "x"),
    "head: empty": (HEAD, b""),
    "head: deep": (HEAD, lambda head: sealed(b"\x9b" + opened(head)[1:] + _DEEP)),
    "head: begin": (HEAD, head_with(4, 1 << 62)),
    "head: took": (HEAD, head_with(5, 1 << 62)),
    "body: number": (BODY, 7),
    "body: deep": (BODY, sealed(b"\x95\xc0\x90\x90\x90" + _DEEP)),
    "body: deep names": (BODY, sealed(b"\x94\xc0\x90\x90\x91" + _DEEP)),
    "numbers: none": (ROW_NUMBERS, b""),
    "numbers: text": (ROW_NUMBERS, "x"),
    "numbers: width": (ROW_NUMBERS, b"\x09x"),
    "traces: text": (TRACES, "x"),
    "traces: cut off": (TRACES, b"\x01\x00"),
    "size: text": (SIZE, "x"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_damage_costs_one_measurement(kept: Kept, damage: Damage) -> None:
    """The others are listed and shown; all are deleted when they are too old."""
    await kept.damage(*damage)
    listed = await kept.history.newest("a1", Filter(), before=None, most=9)
    assert {each.id for each in listed} >= set(kept.good)
    msgspec.json.encode([SummaryShape.of(each) for each in listed])
    pairs = await kept.history.pair(
        "a1", "www.example.com", ColoName("den01"), up_to="f" * 32, most=9
    )
    assert {each.summary.id for each in pairs} >= set(kept.good)
    for each in kept.good:
        assert await kept.history.show("a1", each) is not None
    try:
        await kept.history.show("a1", kept.damaged)
    except DamagedMeasurementError:
        assert kept.history.damaged == 1
    assert await kept.make(days=40).trim()
    assert await kept.history.newest("a1", Filter(), before=None, most=9) == []


@pytest.mark.parametrize("damage", [DAMAGE["head: text"], DAMAGE["size: text"]])
async def test_damaged_measurement_is_trimmed_by_size(kept: Kept, damage: Damage) -> None:
    await kept.damage(*damage)
    small = kept.make(keep_bytes=1)
    while await small.trim():
        pass
    listed = await kept.history.newest("a1", Filter(), before=None, most=9)
    assert [each.id for each in listed] == []


async def test_damage_is_logged_once(kept: Kept) -> None:
    """A client that lists again and again does not fill the log."""
    await kept.damage(*DAMAGE["head: text"])
    with capture_logs() as logs:
        for _ in range(3):
            await kept.history.newest("a1", Filter(), before=None, most=9)
    assert [each["id"] for each in logs if each["event"] == "measurement_damaged"] == [kept.damaged]
    assert kept.history.damaged == 1


@pytest.mark.parametrize("beat", ["x", b"x", 1 << 62, -(1 << 60)])
async def test_damaged_beat_makes_a_running_measurement_partial(kept: Kept, beat: Any) -> None:
    """A beat of the future also comes of a clock that was set back."""
    running = summary()
    kept.history.begun(running)
    await kept.history.write()
    await kept.damage("UPDATE coordinators SET beat_ms = :value", beat)
    found = await kept.make().find("a1", running.id)
    assert found is not None
    assert found.status is Status.PARTIAL
    msgspec.json.encode(SummaryShape.of(found))
