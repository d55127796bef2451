"""A history over SQLite, in a process of its own: what keeping measurements costs, and how long
lists take.

Run by `rows.history`. Each request names one of the methods of `Bench`. The CPU time is that of the
whole process, with the threads of SQLite. Measurements are made before, and queued and written as
the coordinator does it, except that nothing waits between two writes.
"""

import asyncio
import gc
import itertools
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import uvloop
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.location import FILE_NAME, locate
from colotrace_coordinator.turns import Turns
from colotrace_proto.measured import Options, Outcome, Summary, Trace
from colotrace_proto.messages import PacketType
from colotrace_proto.tally import Known
from msgspec.structs import replace
from recorded import BEGAN_MS, complete, known, measurement_id, row, summary

_POOL = 1_000
_BATCH = 100
"""Measurements of one row in one write: 250 a second."""
_TARGETS, _CODES, _EACH = 1_000, 20, 2
_FIRST, _LAST = 5, 10
"""Hops below and from these on are shared by the rows of a colo and of a target."""
_RARE = 1_000
"""One measurement of so many is of a rare target, packet type or outcome."""
_COLOS = [f"{chr(97 + n)}aa{m:02}" for n in range(_CODES) for m in range(1, _EACH + 1)]


class Bench:
    """A database in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self._draw = random.Random(1)
        self._pool = _pool()

    async def keep(self, *, measurements: int, targets: int, colos: int) -> dict[str, Any]:
        """Keep so many measurements; returns CPU µs and bytes for each row."""
        asked = [f"192.0.2.{number}" for number in range(targets)]
        wide = [f"den{number}" for number in range(colos)]
        begun = summary(targets=asked, colos=wide)
        rows = {number: _meshed(begun, number) for number in range(begun.rows)}
        names = known(list(rows.values()))
        gc.freeze()
        with tempfile.TemporaryDirectory(dir=self._directory) as folder:
            database = await Database.open(locate(data=Path(folder), database=None))
            history = _history(database)
            empty = _size(Path(folder))
            # The first one makes the statements.
            _queue(history, _anew(begun, 0), rows, names)
            await history.write()
            spent = 0.0
            for number in range(measurements):
                told = _anew(begun, number)
                cpu = time.process_time()
                _queue(history, told, rows, names)
                await history.write()
                spent += time.process_time() - cpu
            await database.close()
            count = (measurements + 1) * begun.rows
            return {
                "cpu_us": spent / measurements / begun.rows * 1e6,
                "bytes": (_size(Path(folder)) - empty) / count,
            }

    async def keep_single(self, *, measurements: int) -> dict[str, Any]:
        """Keep measurements of one row, with other targets, colos and replies each.

        Returns CPU µs and bytes for each row, and the CPU µs that SQLite takes for the same lines.
        """
        with tempfile.TemporaryDirectory(dir=self._directory) as folder:
            database = await Database.open(locate(data=Path(folder), database=None))
            empty = _size(Path(folder))
            spent = await self._fill(_history(database), measurements)
            await database.close()
            return {
                "cpu_us": spent / measurements * 1e6,
                "sqlite_us": _sqlite_alone(Path(folder)) / measurements * 1e6,
                "bytes": (_size(Path(folder)) - empty) / measurements,
            }

    async def read(self, *, measurements: int, times: int) -> dict[str, Any]:
        """Fill a database with measurements of one row; returns ms of lists and `show` by name."""
        database = await Database.open(locate(data=self._directory, database=None))
        history = _history(database)
        await self._fill(history, measurements)
        [newest] = await history.newest("a1", Filter(), before=None, most=1)
        target, colo = newest.targets[0], newest.colos[0]
        middle = measurement_id(BEGAN_MS + measurements // 2)

        def listed(wanted: Filter, before: str | None = None) -> Callable[[], Awaitable[Any]]:
            return lambda: history.newest("a1", wanted, before=before, most=20)

        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "show": lambda: history.show("a1", newest.id),
            "list": listed(Filter()),
            "list from the middle": listed(Filter(), middle),
            "list of a target": listed(Filter(target=target)),
            "list of a rare target": listed(Filter(target="rare.example.com")),
            "list of a colo": listed(Filter(colo=colo)),
            "list of a code": listed(Filter(colo=colo[:3])),
            "list of a rare packet type": listed(Filter(packet_type=PacketType.GRE)),
            "list of errors": listed(Filter(outcome=Outcome.ERRORS)),
            "list of a target and a colo": listed(Filter(target=target, colo=colo)),
            "rows of a target and a colo": lambda: history.pair(
                "a1", target, colo, up_to="f" * 32, most=20
            ),
        }
        gc.freeze()
        found = {}
        for name, ask in asked.items():
            await ask()
            samples = []
            for _ in range(times):
                began = time.perf_counter()
                got = await ask()
                samples.append((time.perf_counter() - began) * 1e3)
            if not got:
                raise RuntimeError(f"{name}: nothing was found")
            found[name] = samples
        await database.close()
        return {"ms": found}

    async def _fill(self, history: History, measurements: int) -> float:
        """Keep measurements of one row; returns the CPU time in seconds."""
        spent = 0.0
        for first in range(0, measurements, _BATCH):
            made = [self._single(first + number) for number in range(_BATCH)]
            cpu = time.process_time()
            for told, trace, names in made:
                history.begun(told)
                history.row(told, 0, trace)
                history.ended(complete(told, failed=int(trace.gathered.code > 0)), names)
            await history.write()
            spent += time.process_time() - cpu
        return spent

    def _single(self, number: int) -> tuple[Summary, Trace, Known]:
        trace, names = self._pool[number % _POOL]
        rare = number % _RARE == 0
        target = "rare.example.com" if rare else f"www{self._draw.randrange(_TARGETS)}.example.com"
        colo = self._draw.choice(_COLOS)
        told = summary(
            id=measurement_id(BEGAN_MS + next(self._numbers)),
            targets=[target],
            colos=[colo],
            began_ms=BEGAN_MS,
            options=Options(packet_type=PacketType.GRE if rare else PacketType.ICMP),
        )
        if rare:
            trace = replace(trace, gathered=replace(trace.gathered, code=2))
        return told, trace, names


def _pool() -> list[tuple[Trace, Known]]:
    """Rows with replies of their own."""
    told = summary()
    traces = [row(told, 0, seed=seed) for seed in range(_POOL)]
    return [(trace, known([trace], seed=seed)) for seed, trace in enumerate(traces)]


def _meshed(begun: Summary, number: int) -> Trace:
    """A row whose first routers are those of its colo, and whose last are those of its target."""
    target, colo = begun.place(number)
    trace = row(begun, number)
    table = trace.gathered.replies
    nodes = [
        replace(node, address=_shared(hop, target=target, colo=colo) or node.address)
        for hop, node in enumerate(table.nodes)
    ]
    return replace(
        trace, gathered=replace(trace.gathered, replies=replace(table, nodes=tuple(nodes)))
    )


def _shared(hop: int, *, target: int, colo: int) -> bytes | None:
    if hop < _FIRST:
        return bytes([10, colo // 256, colo % 256, hop])
    return bytes([172, 16, target, hop]) if hop >= _LAST else None


def _history(database: Database) -> History:
    return History(database, coordinator="0123456789abcdef" * 2, turns=Turns())


def _anew(begun: Summary, number: int) -> Summary:
    return replace(begun, id=measurement_id(BEGAN_MS + number))


def _queue(history: History, told: Summary, rows: dict[int, Trace], names: Known) -> None:
    history.begun(told)
    for number, trace in rows.items():
        history.row(told, number, trace)
    history.ended(complete(told), names)


def _sqlite_alone(directory: Path) -> float:
    """CPU seconds in which SQLite inserts the measurements of the database into another one, with
    their words, in transactions of the same size: what no program above it can go below."""
    tables = ("measurements", "measurement_words")
    with (
        closing(sqlite3.connect(directory / FILE_NAME)) as source,
        closing(sqlite3.connect(directory / "copy.db", isolation_level=None)) as copy,
    ):
        copy.execute("PRAGMA journal_mode=WAL")
        copy.execute("PRAGMA synchronous=NORMAL")
        for [made] in source.execute("SELECT sql FROM sqlite_schema WHERE name IN (?, ?)", tables):
            copy.execute(made)
        lines = source.execute("SELECT * FROM measurements ORDER BY id").fetchall()
        words = defaultdict(list)
        for word, key in source.execute("SELECT word, id FROM measurement_words"):
            words[key].append((word, key))
        spent = 0.0
        for first in range(0, len(lines), _BATCH):
            batch = lines[first : first + _BATCH]
            found = [each for line in batch for each in words[line[0]]]
            cpu = time.process_time()
            copy.execute("BEGIN")
            copy.executemany("INSERT INTO measurements VALUES (?, ?, ?, ?, ?)", batch)
            copy.executemany("INSERT INTO measurement_words VALUES (?, ?)", found)
            copy.execute("COMMIT")
            spent += time.process_time() - cpu
    return spent


def _size(directory: Path) -> int:
    """The size of the database, once it is closed."""
    return (directory / FILE_NAME).stat().st_size


def main() -> None:
    """Handle requests until the input ends."""
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(
            loop_factory=uvloop.new_event_loop  # the coordinator's
        ) as runner,
    ):
        bench = Bench(Path(folder))
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            answer = runner.run(getattr(bench, asked.pop("do"))(**asked))
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
