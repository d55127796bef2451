"""The commands `backup` and `restore`, as an operator runs them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fleet.data import prepare
from needs import NEEDS_MOUNTS

PROGRAM = Path(sys.executable).parent / "colotrace-coordinator"
AUTHORITY = """
import asyncio, sys
from pathlib import Path
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.store.authorities import Authorities, secret_in
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import locate

async def main(data):
    database = await Database.open(locate(data=data, database=None))
    await Authorities(database).open(Seal(secret_in(data / "ca.secret")))
    await database.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def run(*words: str | Path, **streams: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *words], capture_output="stdout" not in streams, text=True, check=False, **streams
    )  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with a token and a CA."""
    directory = tmp_path / "data"
    directory.mkdir()
    prepare(directory, program=PROGRAM, account="a")
    subprocess.run([sys.executable, "-c", AUTHORITY, directory], check=True)
    return directory


def test_missing_secret_of_the_authority_is_named(data: Path, tmp_path: Path) -> None:
    """And nothing is said once it is there."""
    backup, other = tmp_path / "backup", tmp_path / "other"
    done = run("backup", backup, "--data", data)
    assert done.returncode == 0, done.stderr
    assert "not in it: the secret of the CA's key" in done.stderr
    done = run("restore", backup, "--data", other)
    assert done.returncode == 0, done.stderr
    assert f"put that secret into {other}/ca.secret" in done.stderr
    shutil.copy(data / "ca.secret", other)
    done = run("restore", backup, "--data", other, "--replace")
    assert done.returncode == 0, done.stderr
    assert "that secret" not in done.stderr


def test_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Not the file; and without the password."""
    done = run("backup", tmp_path / "backup", "--database", "postgresql://u:SECRET@127.0.0.1:1/x")
    assert done.returncode != 0
    assert "127.0.0.1:1/x does not answer" in done.stderr
    assert "SECRET" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_backup_by_standard_streams(data: Path, tmp_path: Path) -> None:
    """A pipe cannot be read twice, which a ZIP file needs."""
    backup, other = tmp_path / "backup", tmp_path / "other"
    with backup.open("wb") as out:
        run("backup", "-", "--data", data, stdout=out)
    with backup.open("rb") as source:
        assert run("restore", "-", "--data", other, stdin=source).returncode == 0
    listed = run("token", "list", "--data", other)
    assert listed.stdout == run("token", "list", "--data", data).stdout
    refused = run("restore", "-", "--data", tmp_path / "third", stdin=subprocess.PIPE)
    assert refused.returncode == 2
    assert "it is a pipe" in refused.stderr


def test_refusals_have_a_line_and_an_exit_code(data: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    for code, words, *argv in [
        (2, "there is no database", "backup", backup, "--data", tmp_path / "none"),
        (2, "cannot write", "backup", tmp_path / "none" / "backup", "--data", data),
        (2, "cannot read", "restore", backup, "--data", tmp_path / "other"),
        (0, "backup of", "backup", backup, "--data", data),
        (1, "has content; give --replace", "restore", backup, "--data", data),
    ]:
        done = run(*argv)  # type: ignore[arg-type]
        assert done.returncode == code, done.stderr
        assert str(words) in done.stderr
        assert len(done.stderr.splitlines()) == 1


SMALL_DISK = """set -e
data=$1; program=$2; backup=$3; mount -t tmpfs -o size=400k,mode=700 none "$data"
"$program" restore "$backup" --data "$data"
head -c 1m /dev/urandom > "$data/fill" 2>/dev/null || true
before=$(sha256sum < "$data/colotrace.sqlite3")
"$program" restore "$backup" --data "$data" --replace && exit 9
test "$before" = "$(sha256sum < "$data/colotrace.sqlite3")"
"$program" backup "$data/backup" --data "$data" && exit 9
rm "$data/fill"; ls "$data"
"$program" token list --data "$data"
"""


@NEEDS_MOUNTS
def test_full_disk_leaves_the_database_as_it_was(data: Path, tmp_path: Path) -> None:
    """Nothing is left of the attempts to restore, and to write a backup."""
    backup, small = tmp_path / "backup", tmp_path / "small"
    small.mkdir()
    assert run("backup", backup, "--data", data).returncode == 0
    argv = ["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh", small, PROGRAM, backup]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no space left on the device" in done.stderr
    assert "cannot write" in done.stderr
    assert done.stdout.split()[:2] == ["colotrace.sqlite3", "colotrace.sqlite3.lock"]
    assert "diagnostics:traceroute" in done.stdout
