"""What it costs to keep measurements, and how long lists of a million take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from lab import Process

from bench.driver import Driver
from bench.figures import Figure
from bench.rows.subject import Subject
from bench.session import Session

_LABEL = "history in SQLite"
_CPU_US, _BYTES, _READ_MS = 25.0, 1_000.0, 20.0
_SINGLE, _LARGE = "keep measurements of 1 row", "keep measurements of 10 targets from 300 colos"
_MEASUREMENTS = 1_000_000


def _measure(session: Session) -> Iterator[Figure]:
    with closing(Driver.history(_spawn)) as driver:
        session.say("history: keeping")
        single = [
            driver.call(do="keep_single", measurements=100 if session.quick else 20_000)
            for _ in range(session.runs(5))
        ]
        size = (1, 2) if session.quick else (10, 300)
        large = [
            driver.call(do="keep", measurements=session.runs(3), targets=size[0], colos=size[1])
            for _ in range(session.runs(5))
        ]
        yield from _kept(_SINGLE, single)
        alone = tuple(each["sqlite_us"] for each in single)
        yield Figure(_SINGLE, "SQLite alone, the same lines", "CPU a row", "µs", alone)
        yield from _kept(_LARGE, large, at_most=_CPU_US)
        measurements = 1_000 if session.quick else _MEASUREMENTS
        session.say(f"history: {measurements:,} measurements")
        found = driver.call(do="read", measurements=measurements, times=session.runs(50))
    work = f"among {measurements:,} measurements of 1 row"
    for name, samples in found["ms"].items():
        yield Figure(work, _LABEL, name, "ms", tuple(samples), at_most=_READ_MS)


def _kept(
    work: str, samples: list[dict[str, Any]], *, at_most: float | None = None
) -> Iterator[Figure]:
    cpu = tuple(each["cpu_us"] for each in samples)
    yield Figure(work, _LABEL, "CPU a row", "µs", cpu, at_most=at_most)
    size = tuple(each["bytes"] for each in samples)
    yield Figure(work, _LABEL, "size of a row", "bytes", size, at_most=_BYTES)


def _spawn(argv: list[str], **streams: Any) -> Process:
    return Process([str(word) for word in argv], **streams)


SUBJECT = Subject(
    "history",
    "Measurements kept and listed",
    "Rows of 15 hops with 3 replies each, with names and ASNs. CPU time of a process that does "
    "nothing else, with SQLite's threads. Measurements of 1 row are written 100 in a "
    "transaction, as at 250 a second; each has another target of 1,000, another colo of 40, and "
    "routers that no other row has. Of their CPU time, in a quiet run, SQLite's inserts take a "
    "quarter, the rest of the transaction (SQLAlchemy, and turns between two threads) a sixth, "
    "and packing, with zstd, four tenths. The line of SQLite alone is the same lines inserted by "
    "`executemany`: about two thirds of that are three lines of the index. Bytes are the file's "
    "size. Lists have 20 entries, except those of rare ones.",
    _measure,
)
