"""Known colos."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from colotrace_coordinator.colos.known import ColoFacts
from colotrace_coordinator.colos.selectors import Tagged
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.store.colos import (
    BATCH,
    FORGOTTEN_AFTER_S,
    ColoMemory,
    ColoStore,
    KeptColo,
)
from colotrace_coordinator.store.database import Database
from colotrace_proto.messages import ColoName
from colotrace_proto.tags import Tag
from eventually import until
from manual_clock import ManualClock
from pytest import MonkeyPatch  # noqa: PT013 - a type
from sqlalchemy.ext.asyncio import AsyncSession


async def _knows(store: ColoStore, count: int) -> bool:
    return len(await store.all()) == count


async def test_remembered(database: Database, clock: ManualClock) -> None:
    """By name with the latest city; forgotten after 30 days without an agent."""
    store = ColoStore(database, clock=clock)
    for name, city in (("sin01", "Singapore"), ("den01", "Denver"), ("den01", "Denver, CO")):
        await store.remember([KeptColo(ColoName(name), city)])
    assert [(c.name, c.city) for c in await store.all()] == [
        ("den01", "Denver, CO"),
        ("sin01", "Singapore"),
    ]
    clock.now += FORGOTTEN_AFTER_S - 1
    await store.remember([KeptColo(ColoName("sin01"), "Singapore")])
    clock.now += 2
    assert [c.name for c in await store.all()] == ["sin01"]


async def test_memory_writes_behind(database: Database, monkeypatch: MonkeyPatch) -> None:
    """Changes in the registry, and colos attached at the start, are written to the database."""
    monkeypatch.setattr("colotrace_coordinator.store.colos.WRITE_EVERY_S", 0)
    store = ColoStore(database)
    memory = await ColoMemory.load(store)
    assert memory.all() == []
    memory.remember(ColoName("den01"), ColoFacts("Denver"))
    task = asyncio.create_task(memory.run(lambda: [(ColoName("sin01"), ColoFacts("Singapore"))]))
    await until(lambda: _knows(store, 2))
    memory.remember(ColoName("fra01"), ColoFacts("Frankfurt"))  # the last change before the end
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (ColoName("fra01"), ColoFacts("Frankfurt")) in (await ColoMemory.load(store)).all()


async def test_memory_survives_a_database_failure(
    database: Database, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.setattr("colotrace_coordinator.store.colos.WRITE_EVERY_S", 0)
    store = ColoStore(database)
    real, failures = store.remember, iter([StoreUnavailableError("away")] * 2)

    async def remember(colos: Sequence[KeptColo]) -> None:
        for failure in failures:
            raise failure
        await real(colos)

    monkeypatch.setattr(store, "remember", remember)
    memory = ColoMemory(store, [])
    memory.remember(ColoName("den01"), ColoFacts("Denver"))
    task = asyncio.create_task(memory.run(list))
    await until(lambda: _knows(store, 1))
    task.cancel()
    await asyncio.wait([task])


async def test_many_colos_are_written_in_few_transactions(
    database: Database, monkeypatch: MonkeyPatch
) -> None:
    """After a restart with thousands of agents; the same for colos that are forgotten."""
    monkeypatch.setattr("colotrace_coordinator.store.colos.WRITE_EVERY_S", 0)
    names = [ColoName(f"sim{number:04}") for number in range(BATCH + 1)]
    store = ColoStore(database)
    transactions: list[int] = []
    real = database.session

    def session() -> AbstractAsyncContextManager[AsyncSession]:
        transactions.append(1)
        return real()

    memory = ColoMemory(store, [])
    for name in names:
        memory.remember(name, ColoFacts("Singapore"))
    monkeypatch.setattr(database, "session", session)
    task = asyncio.create_task(memory.run(list))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert len(transactions) == 2
    assert [colo.name for colo in await store.all()] == names
    for name in names:
        memory.forget(name)
    transactions.clear()
    task = asyncio.create_task(memory.run(list))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert len(transactions) == 2
    assert await store.all() == []


async def test_colo_without_a_certificate_is_forgotten_sooner(
    database: Database, clock: ManualClock, monkeypatch: MonkeyPatch
) -> None:
    """After a time that grows with the time it was attached."""
    monkeypatch.setattr("colotrace_coordinator.store.colos.WRITE_EVERY_S", 0)
    monkeypatch.setattr("colotrace_coordinator.store.colos.SEEN_UNVOUCHED_EVERY_S", 0)
    store = ColoStore(database, clock=clock)
    memory = await ColoMemory.load(store, vouched=False)
    memory.remember(ColoName("abc1"), ColoFacts(""))
    here = [(ColoName("den01"), ColoFacts("Denver"))]
    task = asyncio.create_task(memory.run(lambda: here))
    await until(lambda: _knows(store, 2))
    clock.now += 86_400

    async def seen() -> bool:
        return any(colo.forget_at > clock.now + 86_400 for colo in await store.all())

    await until(seen)
    task.cancel()
    await asyncio.wait([task])
    assert [colo.name for colo in await store.all()] == ["den01"]
    clock.now += 9 * 86_400
    assert [colo.name for colo in await store.all()] == ["den01"]
    clock.now += 2 * 86_400
    assert await store.all() == []


async def test_colo_forgotten_by_another_program(
    database: Database, monkeypatch: MonkeyPatch
) -> None:
    """By an operator's command or another coordinator; the registry is informed."""
    monkeypatch.setattr("colotrace_coordinator.store.colos.WRITE_EVERY_S", 0)
    monkeypatch.setattr("colotrace_coordinator.store.colos.LOOK_EVERY_S", 0)
    store = ColoStore(database)
    await store.remember([KeptColo(ColoName("den01"), "Denver")])
    await store.remember([KeptColo(ColoName("sin01"), "Singapore")])
    memory = await ColoMemory.load(store)
    forgotten: list[ColoName] = []

    def forget(name: ColoName) -> None:
        forgotten.append(name)
        memory.forget(name)

    task = asyncio.create_task(memory.run(list, forget))
    assert await store.forget(["sin01"]) == ["sin01"]
    assert await store.forget(["sin01"]) == []

    async def told() -> bool:
        return forgotten == ["sin01"]

    await until(told)
    task.cancel()
    await asyncio.wait([task])
    assert [colo.name for colo in await store.all()] == ["den01"]


async def test_tags_are_remembered(database: Database, monkeypatch: MonkeyPatch) -> None:
    """A selector of tags works before the agents have attached again."""
    monkeypatch.setattr("colotrace_coordinator.store.colos.WRITE_EVERY_S", 0)
    store, tags = ColoStore(database), frozenset({Tag("provider", "X"), Tag("rack", "7")})
    before = frozenset({Tag("provider", "Y")})
    memory = await ColoMemory.load(store)
    den = ColoName("den01")
    memory.remember(den, ColoFacts("Denver", before))
    task = asyncio.create_task(memory.run(list))
    await until(lambda: _knows(store, 1))
    memory.remember(den, ColoFacts("Denver"))
    memory.remember(den, ColoFacts("Denver", tags))
    task.cancel()
    await asyncio.wait([task])
    again = await ColoMemory.load(store)
    assert again.all() == [(den, ColoFacts("Denver", tags))]
    registry = Registry(again)
    assert registry.known.matching(Tagged(Tag("provider", "x"))) == {den}
