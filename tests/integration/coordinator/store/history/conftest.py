"""A history over a real database, whose `run` a test does by hand: `write` and `trim`."""

from collections.abc import Callable
from typing import Any, Protocol

import pytest
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.turns import Turns
from colotrace_proto.measured import Measured, Summary, Trace
from integration.coordinator.store.conftest import clock, database, location, postgresql
from manual_clock import ManualClock
from recorded import COORDINATOR, complete, known, row
from sqlalchemy import func, select

__all__ = ["clock", "database", "location", "postgresql"]


class Make(Protocol):
    """Makes a history of the test's database."""

    def __call__(self, **fields: Any) -> History: ...


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    def made(**fields: Any) -> History:
        told: dict[str, Any] = {"coordinator": COORDINATOR, "turns": Turns(), "clock": clock}
        return History(database, **(told | fields))

    return made


@pytest.fixture
def history(make: Make) -> History:
    return make()


def queue(
    history: History,
    told: Summary,
    *,
    make_row: Callable[[Summary, int], Trace] = row,
    **fields: Any,
) -> Measured:
    """Queue a whole measurement; returns what is to be read."""
    history.begun(told)
    traces = {number: make_row(told, number) for number in range(told.rows)}
    for number, trace in traces.items():
        history.row(told, number, trace)
    ended, names = complete(told, **fields), known(list(traces.values()))
    history.ended(ended, names)
    return Measured(summary=ended, traces=traces, known=names)


async def count(database: Database, table: Any) -> int:
    """Lines of a table."""
    async with database.session() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


def ids(found: Any) -> list[str]:
    """The ids of summaries."""
    return [each.id for each in found]
