"""Colos once seen."""

import asyncio

from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.store.colos import FORGOTTEN_AFTER_S, ColoMemory, ColoStore
from colotrace_coordinator.store.database import Database
from colotrace_proto.messages import ColoName
from integration.coordinator.store.conftest import Clock, until
from pytest import MonkeyPatch  # noqa: PT013 - a type


async def _knows(store: ColoStore, count: int) -> bool:
    return len(await store.all()) == count


async def test_remembered(database: Database, clock: Clock) -> None:
    """By name; the city last told counts; unseen for 30 days, it is forgotten."""
    store = ColoStore(database, clock=clock)
    for name, city in (("sin01", "Singapore"), ("den01", "Denver"), ("den01", "Denver, CO")):
        await store.remember(name, city)
    assert [(c.name, c.city) for c in await store.all()] == [
        ("den01", "Denver, CO"),
        ("sin01", "Singapore"),
    ]
    clock.now += FORGOTTEN_AFTER_S - 1
    await store.remember("sin01", "Singapore")
    clock.now += 2
    assert [c.name for c in await store.all()] == ["sin01"]


async def test_memory_writes_behind(database: Database, monkeypatch: MonkeyPatch) -> None:
    """What the registry tells it, and what is attached at the start, comes to the database."""
    monkeypatch.setattr("colotrace_coordinator.store.colos._WRITE_EVERY_S", 0)
    store = ColoStore(database)
    memory = await ColoMemory.load(store)
    assert memory.all() == []
    memory.remember(ColoName("den01"), "Denver")
    task = asyncio.create_task(memory.run(lambda: [(ColoName("sin01"), "Singapore")]))
    await until(lambda: _knows(store, 2))
    memory.remember(ColoName("fra01"), "Frankfurt")  # the last thing before the end
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (ColoName("fra01"), "Frankfurt") in (await ColoMemory.load(store)).all()


async def test_memory_outlives_a_database_that_is_away(
    database: Database, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.setattr("colotrace_coordinator.store.colos._WRITE_EVERY_S", 0)
    store = ColoStore(database)
    real, failures = store.remember, iter([StoreUnavailableError("away")] * 2)

    async def remember(name: str, city: str) -> None:
        for failure in failures:
            raise failure
        await real(name, city)

    monkeypatch.setattr(store, "remember", remember)
    memory = ColoMemory(store, [])
    memory.remember(ColoName("den01"), "Denver")
    task = asyncio.create_task(memory.run(list))
    await until(lambda: _knows(store, 1))
    task.cancel()
    await asyncio.wait([task])
