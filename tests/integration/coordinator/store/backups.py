"""Databases with rows in every table, saved and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from colotrace_coordinator.store.backup.archive import ArchiveReader
from colotrace_coordinator.store.backup.restoring import restore
from colotrace_coordinator.store.backup.saving import save
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.durable import written_whole
from colotrace_coordinator.store.location import Location
from colotrace_coordinator.store.tables import Base
from sqlalchemy import Boolean, Integer, LargeBinary, Table, insert, select

ROWS = 1_203
"""In most tables; more than are read at a time."""
sqlite_only = pytest.mark.parametrize("location", ["sqlite"], indirect=True)


def told(_table: str, _rows: int) -> None:
    """No progress is shown."""


def value(column: Any, number: int) -> Any:
    """A value of the column's type, another one for each number."""
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, LargeBinary):
        return number.to_bytes(4, "big") * (1 + number % 700)
    if isinstance(column.type, Integer):
        return number + 1 if column.primary_key else number << 8
    if column.foreign_keys:
        return f"x{number}"
    return f"x{number}" if column.primary_key else f"é {number}"[:16]


def row(table: Table, number: int) -> dict[str, Any]:
    return {
        column.name: None if column.nullable and number % 3 == 0 else value(column, number)
        for column in table.columns
    }


async def fill(database: Database) -> None:
    """Rows of all tables, each in a transaction of its own, whose time is limited."""
    for table in Base.metadata.sorted_tables:
        async with database.session() as session:
            await session.execute(insert(table), [row(table, n) for n in range(ROWS)])


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def spoil(file: Path) -> None:
    file.write_bytes(b"\0" * 100_000)


async def content(location: Location) -> dict[str, list[Any]]:
    """All rows of all tables."""
    database = await Database.open(location)
    try:
        async with database.session() as session:
            return {
                table.name: sorted(map(repr, (await session.execute(select(table))).all()))
                for table in Base.metadata.sorted_tables
            }
    finally:
        await database.close()


async def saved(location: Location, file: Path) -> Path:
    with written_whole(file) as out:
        await save(location, out, told)
    return file


async def restored(location: Location, file: Path, *, replace: bool = False) -> None:
    with file.open("rb") as source:
        await restore(location, ArchiveReader(source, name=file.name), told, replace=replace)
