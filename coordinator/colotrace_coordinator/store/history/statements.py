"""Statements that differ between SQLite and PostgreSQL, and fast ones for many lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Table, bindparam, delete
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from colotrace_coordinator.store.inserting import insert_into
from colotrace_coordinator.store.tables import Base

LINES_AT_ONCE = 500
"""Lines given to the driver in one turn of the event loop: some milliseconds."""


class Statements:
    """Makes statements for one dialect."""

    def __init__(self, dialect: str) -> None:
        """`dialect`: `sqlite` or `postgresql`."""
        self.dialect = dialect

    def upsert(self, table: type[Base], values: Mapping[str, Any], *, key: str) -> Any:
        """Insert a line, or replace the values of the one with this key."""
        statement = insert_into(table, dialect=self.dialect).values(**values)
        updated = {name: statement.excluded[name] for name in values if name != key}
        return statement.on_conflict_do_update(index_elements=[key], set_=updated)

    def sums(self, table: type[Base]) -> "Lines":
        """Insert many lines. To the numbers of one that exists, those beside its key are added."""
        statement = insert_into(table, dialect=self.dialect)
        keys = [column.name for column in _table(table).primary_key]
        total = {
            column.name: column + statement.excluded[column.name]
            for column in _table(table).columns
            if column.name not in keys
        }
        return Lines(statement.on_conflict_do_update(index_elements=keys, set_=total), table)

    def lines(self, table: type[Base], *, updated: Sequence[str] = ()) -> "Lines":
        """Insert many lines. Of one that exists the values `updated` are replaced."""
        statement = insert_into(table, dialect=self.dialect)
        if not updated:
            return Lines(statement.on_conflict_do_nothing(), table)
        keys = [column.name for column in _table(table).primary_key]
        new = {name: statement.excluded[name] for name in updated}
        return Lines(statement.on_conflict_do_update(index_elements=keys, set_=new), table)


class Lines:
    """A statement for many lines, given as tuples in the order of the table's columns.

    The statement is compiled once and handed to the driver with the tuples. SQLAlchemy's own way,
    a dictionary for each line, takes three times the CPU time of SQLite itself.
    """

    def __init__(self, statement: Any, table: type[Base]) -> None:
        self._statement = statement
        self._names = [column.name for column in _table(table).columns]
        self._text = ""

    async def execute(self, session: AsyncSession, lines: Sequence[tuple[Any, ...]]) -> None:
        """Run it for all lines."""
        connection = await session.connection()
        if not self._text:
            self._text = self._compiled(connection.dialect)
        await _run(connection, self._text, lines)

    def _compiled(self, dialect: Dialect) -> str:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._names)
        if compiled.positiontup != self._names:
            raise AssertionError("the statement's parameters are not in the order of the columns")
        return str(compiled)


class Deletions:
    """Deletes many lines by their keys, like `Lines`."""

    def __init__(self, table: type[Base]) -> None:
        keys = list(_table(table).primary_key)
        self._statement = delete(_table(table)).where(
            *(column == bindparam(column.name, type_=column.type) for column in keys)
        )
        self._text = ""

    async def execute(self, session: AsyncSession, lines: Sequence[tuple[Any, ...]]) -> None:
        """Delete the lines of these keys."""
        connection = await session.connection()
        if not self._text:
            self._text = str(self._statement.compile(dialect=connection.dialect))
        await _run(connection, self._text, lines)


async def _run(connection: AsyncConnection, statement: str, lines: Sequence[Any]) -> None:
    for first in range(0, len(lines), LINES_AT_ONCE):
        await connection.exec_driver_sql(statement, list(lines[first : first + LINES_AT_ONCE]))


def _table(table: type[Base]) -> Table:
    found = table.__table__
    if not isinstance(found, Table):
        raise TypeError(f"{table} is no table")
    return found
