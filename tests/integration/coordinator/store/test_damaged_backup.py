"""Backups that are damaged, or of a newer version: they are refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from colotrace_coordinator.store.backup.archive import BackupFileError
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location, locate
from integration.coordinator.store.backups import content, names, restored, sqlite_only


def cut(data: bytearray) -> bytearray:
    return data[: len(data) * 2 // 3]


def encrypted(data: bytearray) -> bytearray:
    """Says that it is."""
    for head, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := data.find(head, at + 1)) >= 0:
            data[at + flags] |= 1
    return data


DAMAGES = {
    "encrypted": encrypted,
    "cut": cut,
    "empty": lambda _: bytearray(),
    "text": lambda _: b"x" * 999,
}


def damaged(backup: Path, damage: str) -> None:
    backup.write_bytes(DAMAGES[damage](bytearray(backup.read_bytes())))


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_backup_leaves_the_database_as_it_was(
    backup: Path, database: Database, location: Location, damage: str
) -> None:
    before = await content(location)
    await database.close()
    damaged(backup, damage)
    with pytest.raises(BackupFileError, match="cut off or damaged"):
        await restored(location, backup, replace=True)
    assert await content(location) == before
    if location.file is not None:
        assert names(location.file.parent) == ["colotrace.sqlite3", "colotrace.sqlite3.lock"]


def flipped(backup: Path, at: float) -> Path:
    """The backup with another bit."""
    data = bytearray(backup.read_bytes())
    data[int(len(data) * at)] ^= 0x40
    other = backup.with_name("flipped")
    other.write_bytes(data)
    return other


@sqlite_only
@pytest.mark.parametrize("first", [0.0, 0.25, 0.5, 0.75])
async def test_damaged_bit_is_found_or_does_not_matter(
    backup: Path, tmp_path: Path, first: float
) -> None:
    """Some bits, like those of the ZIP file's dates, have no meaning here."""
    good = locate(data=tmp_path / "good", database=None)
    await restored(good, backup)
    expected, found = await content(good), 0
    for number in range(6):
        where = locate(data=tmp_path / f"{number}", database=None)
        try:
            await restored(where, flipped(backup, first + number / 24))
        except BackupFileError:
            found += 1
        else:
            assert await content(where) == expected
    assert found >= 4


def changed(backup: Path, **facts: object) -> Path:
    """The backup with another manifest."""
    other = backup.with_name("changed")
    with zipfile.ZipFile(backup) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "manifest.json":
                data = json.dumps(json.loads(data) | facts).encode()
            new.writestr(name, data)
    return other


@sqlite_only
@pytest.mark.parametrize("facts", [{"format": 2}, {"schema": "9999"}], ids=str)
async def test_backup_of_a_newer_version_is_refused(
    backup: Path, tmp_path: Path, facts: dict[str, object]
) -> None:
    with pytest.raises(BackupFileError, match="of a newer colotrace"):
        await restored(locate(data=tmp_path / "new", database=None), changed(backup, **facts))


@sqlite_only
async def test_rows_with_another_checksum_are_refused(backup: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(backup) as archive:
        tables = json.loads(archive.read("manifest.json"))["tables"]
    tables[0]["sha256"] = "0" * 64
    with pytest.raises(BackupFileError, match="the checksum of"):
        await restored(locate(data=tmp_path / "new", database=None), changed(backup, tables=tables))
