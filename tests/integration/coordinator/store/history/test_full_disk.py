"""A full disk costs measurements, not answers: a tmpfs in a mount namespace."""

import json
import os
import subprocess
import sys
from pathlib import Path

from needs import NEEDS_MOUNTS

pytestmark = NEEDS_MOUNTS

BEGIN = """
import asyncio, json, sys
from pathlib import Path
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history import history as module
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.turns import Turns
from eventually import until
from integration.coordinator.store.history.conftest import queue
from recorded import COORDINATOR, summary

module.RETRY_EVERY_S = 0.05
data, seen = Path(sys.argv[1]), {}
COLOS = [f"den{number}" for number in range(64)]

async def listed(history):
    return [each.id for each in await history.newest("a1", Filter(), before=None, most=999)]

def fill():
    with (data / "fill").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

"""
WHILE_RUNNING = (
    BEGIN
    + """
async def main():
    database = await Database.open(locate(data=data, database=None))
    history = History(database, coordinator=COORDINATOR, turns=Turns())
    task = asyncio.create_task(history.run())
    told = []
    fill()
    while not history.trouble:
        told.append(summary(colos=COLOS))
        queue(history, told[-1])
        await until(lambda: bool(history.trouble) or not history.waiting, within_s=30)
    seen["says full"] = "no space left" in history.trouble
    last = summary()
    queue(history, last)
    told.append(last)
    expected = [each.id for each in reversed(told)]
    seen["listed"] = await listed(history) == expected
    seen["shown"] = (await history.show("a1", last.id)) is not None
    (data / "fill").unlink()
    await until(lambda: not history.trouble and not history.waiting, within_s=30)
    seen["listed again"] = await listed(history) == expected
    task.cancel()
    await asyncio.wait([task])
    other = History(database, coordinator="f" * 32, turns=Turns())
    seen["written"] = await listed(other) == expected
    seen["dropped"] = history.dropped
    await database.close()

asyncio.run(main())
print(json.dumps(seen))
"""
)
FROM_THE_START = (
    BEGIN
    + """
async def main():
    database = await Database.open(locate(data=data, database=None))
    earlier = History(database, coordinator=COORDINATOR, turns=Turns())
    told = [summary()]
    queue(earlier, told[0])
    await earlier.write()
    await database.close()
    fill()
    database = await Database.open(locate(data=data, database=None), even_full=True)
    seen["read-only"] = bool(database.trouble)
    history = History(database, coordinator=COORDINATOR, turns=Turns())
    task = asyncio.create_task(history.run())
    watching = asyncio.create_task(database.watch(every_s=0.05, changed=lambda _: None))
    told.append(summary())
    queue(history, told[-1])
    await until(lambda: bool(history.trouble), within_s=30)
    expected = [each.id for each in reversed(told)]
    seen["listed"] = await listed(history) == expected
    (data / "fill").unlink()
    await until(lambda: not history.trouble and not history.waiting, within_s=30)
    seen["listed again"] = await listed(history) == expected
    for each in (task, watching):
        each.cancel()
    await asyncio.wait([task, watching])
    await database.close()

asyncio.run(main())
print(json.dumps(seen))
"""
)
ON_A_SMALL_DISK = 'set -e; mount -t tmpfs -o size=2m none "$1"; shift; exec "$@"'


def on_a_small_disk(folder: Path, program: str) -> dict[str, object]:
    """What the program prints, where the folder is a file system of 2 MB."""
    folder.mkdir()
    tests = str(Path(__file__).parents[4])
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", str(folder), *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_measurements_wait_while_the_disk_is_full(tmp_path: Path) -> None:
    assert on_a_small_disk(tmp_path / "disk", WHILE_RUNNING) == {
        "says full": True,
        "listed": True,
        "shown": True,
        "listed again": True,
        "written": True,
        "dropped": 0,
    }


def test_measurements_are_written_once_a_database_opened_full_has_space(tmp_path: Path) -> None:
    assert on_a_small_disk(tmp_path / "disk", FROM_THE_START) == {
        "read-only": True,
        "listed": True,
        "listed again": True,
    }
