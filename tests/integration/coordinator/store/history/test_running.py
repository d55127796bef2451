"""`run` writes, tries again, and flushes; and what a killed process leaves."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history import history as module
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.turns import Turns
from colotrace_proto.measured import Status
from eventually import until
from integration.coordinator.store.history.conftest import Make, queue
from recorded import row, summary

KILLED = """
import asyncio, sys, time
from pathlib import Path
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.turns import Turns
from integration.coordinator.store.history.conftest import queue
from recorded import COORDINATOR, row, summary

async def main():
    database = await Database.open(locate(data=Path(sys.argv[1]), database=None))
    history = History(database, coordinator=COORDINATOR, turns=Turns())
    running = asyncio.create_task(history.run())
    now_ms = lambda: time.time_ns() // 1_000_000
    told = summary(colos=["den01", "den02"], began_ms=now_ms())
    history.begun(told)
    history.row(told, 0, row(told))
    print("running", told.id, flush=True)
    while True:
        each = summary(began_ms=now_ms())
        queue(history, each)
        print(time.monotonic(), each.id, flush=True)
        await asyncio.sleep(0.02)

asyncio.run(main())
"""


async def test_writes_until_cancelled_and_then_what_is_left(history: History, make: Make) -> None:
    task = asyncio.create_task(history.run())
    first, last = summary(), summary()
    queue(history, first)
    await until(lambda: history.waiting == 0 and history.bytes > 0)
    queue(history, last)
    task.cancel()
    await asyncio.wait([task])
    found = await make().newest("a1", Filter(), before=None, most=9)
    assert [each.id for each in found] == [last.id, first.id]


async def test_trouble_is_told_until_the_database_answers(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_EVERY_S", 0.01)

    def away() -> None:
        raise StoreUnavailableError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(database, "session", away)
        task = asyncio.create_task(history.run())
        queue(history, summary())
        await until(lambda: history.failures > 1)
        assert history.trouble == "the database is away"
        assert history.waiting > 0
    await until(lambda: history.waiting == 0)
    await until(lambda: not history.trouble)
    task.cancel()
    await asyncio.wait([task])


async def test_fault_costs_history_and_does_not_end_it(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong in the database or with us: the coordinator goes on answering."""
    monkeypatch.setattr(module, "RETRY_EVERY_S", 0.01)

    async def fault() -> bool:
        raise TypeError("what nobody thought of")

    with monkeypatch.context() as patch:
        patch.setattr(history, "trim", fault)
        task = asyncio.create_task(history.run())
        await until(lambda: history.failures > 1)
        assert history.trouble == "TypeError: what nobody thought of"
    queue(history, summary())
    await until(lambda: history.waiting == 0 and not history.trouble)
    task.cancel()
    await asyncio.wait([task])


def kill_one(data: Path) -> tuple[str, list[tuple[float, str]], float]:
    """Kill a process that keeps measurements: the id of its running one, those that ended with
    their times, and the time of its end."""
    tests = str(Path(__file__).parents[4])
    command = [sys.executable, "-c", KILLED, str(data)]
    environment = {**os.environ, "PYTHONPATH": tests}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        told: list[tuple[float, str]] = []
        _, running = process.stdout.readline().split()
        while not told or told[-1][0] < told[0][0] + 2.5:
            at, measurement_id = process.stdout.readline().split()
            told.append((float(at), measurement_id))
        process.kill()
        return running, told, time.monotonic()


async def test_killed_process_loses_less_than_a_second(tmp_path: Path) -> None:
    """And its running measurement is partial, with the rows that had ended."""
    running, told, killed_at = kill_one(tmp_path)
    database = await Database.open(locate(data=tmp_path, database=None))
    history = History(database, coordinator="f" * 32, turns=Turns(), lost_after_ms=0)
    try:
        found = await history.newest("a1", Filter(), before=None, most=1_000)
        kept = {each.id for each in found}
        due = [each for at, each in told if at < killed_at - 1]
        assert len(due) > 10
        assert [each for each in due if each not in kept] == []
        partial = await history.show("a1", running)
        assert partial is not None
        assert partial.summary.status is Status.PARTIAL
        assert partial.traces == {0: row(partial.summary)}
    finally:
        await database.close()
