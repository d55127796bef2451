"""SQLite on a full disk: a tmpfs in a mount namespace."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fleet.data import prepare
from needs import NEEDS_MOUNTS

pytestmark = NEEDS_MOUNTS

PROGRAM = "from colotrace_coordinator.main import main; main()"
# Until there is space, entries wait in memory, and stored data can be read.
LIVED_THROUGH = """
import asyncio, json, sys
from pathlib import Path
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.store.colos import ColoMemory, ColoStore, KeptColo
from colotrace_coordinator.store.credentials import Credentials
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import locate
from colotrace_proto.messages import ColoName

data, token = Path(sys.argv[1]), Path(sys.argv[1], "token").read_text().strip()
seen = {}

async def main():
    database = await Database.open(locate(data=data, database=None), even_full=True)
    credentials, colos = Credentials(database), ColoStore(database)
    seen["trouble"] = bool(database.trouble)
    await database.ping()
    await ColoMemory.load(colos)
    found = await credentials.find_token(token)
    seen["found"] = found is not None
    try:
        await colos.remember([KeptColo(ColoName("den01"), "Denver")])
    except StoreUnavailableError as error:
        seen["refused"] = "no space left" in str(error)
    changes, again = [], asyncio.Event()
    def changed(trouble):
        changes.append(bool(trouble))
        if not trouble:
            again.set()
    watching = asyncio.create_task(database.watch(every_s=0.01, changed=changed))
    (data / "fill").unlink()
    async with asyncio.timeout(30):
        await again.wait()
    await colos.remember([KeptColo(ColoName("den01"), "Denver")])
    seen["remembered"] = [colo.name for colo in await colos.all()]
    seen["changes"] = changes
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await database.close()

asyncio.run(main())
print(json.dumps(seen))
"""
FULL = """
set -e
mount -t tmpfs -o size=600k none "$1"
if [ -n "$2" ]; then cp "$2"/* "$1"; fi
dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null || true
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A directory with a database and a file with its token."""
    folder = tmp_path / "database"
    folder.mkdir()
    program = Path(sys.executable).parent / "colotrace-coordinator"
    (folder / "token").write_text(prepare(folder, program=program, account="a1"))
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The mount point of the disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def inside(disk: Path, *argv: str, holding: Path | None = None) -> "subprocess.Popen[str]":
    """Run a program where `disk` is a full disk with the files of `holding`."""
    script = FULL + 'shift 2; exec "$@"'
    words = [str(disk), str(holding or "")]
    return subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", *words, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_database_is_written_again_once_there_is_space(disk: Path, database: Path) -> None:
    program = [sys.executable, "-c", LIVED_THROUGH, str(disk)]
    with inside(disk, *program, holding=database) as process:
        told, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert json.loads(told) == {
        "trouble": True,
        "found": True,
        "refused": True,
        "remembered": ["den01"],
        "changes": [True, False],
    }


def serve(disk: Path) -> list[str]:
    addresses = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    command = [sys.executable, "-c", PROGRAM, "serve", *addresses, "--insecure"]
    return [*command, "--data", str(disk)]


def test_coordinator_starts_and_reports_the_full_disk(disk: Path, database: Path) -> None:
    """In its log, at /readyz and in its metrics."""
    with inside(disk, *serve(disk), holding=database) as process:
        try:
            assert process.stderr is not None
            events = {}
            for text in process.stderr:
                line = json.loads(text)
                events[line["event"]] = line
                if {"listening", "no_space_left"} <= events.keys():
                    break
            base = f"http://{events['listening']['http']}"
            assert httpx.get(f"{base}/readyz", timeout=30).json()["result"]["detail"]
            numbers = httpx.get(f"{base}/metrics", timeout=30).text
            assert "\ncolotrace_database_full 1.0\n" in numbers
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert process.returncode == 0


def test_full_disk_without_a_database_exits_with_3(disk: Path) -> None:
    """systemd restarts it after exit code 3."""
    with inside(disk, *serve(disk)) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "no space left" in said
