"""Names are asked for once, and not remembered for ever."""

import asyncio

import pytest
from colotrace_agent.commands import names as module
from colotrace_agent.commands.names import Names

ONE, TWO, NONE, SLOW = b"1", b"2", b"none", b"slow"


class Source:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def name(self, address: bytes) -> str | None:
        self.asked.append(address)
        if address == SLOW:
            await asyncio.Event().wait()
        return None if address == NONE else f"name of {address.decode()}"


async def test_asked_once() -> None:
    """Also for one that has none."""
    source = Source()
    names = Names(source.name)
    for _ in range(2):
        assert await names.of([ONE, NONE]) == {ONE: "name of 1"}
    assert source.asked == [ONE, NONE]


async def test_not_asked() -> None:
    """What is known is told all the same."""
    source = Source()
    names = Names(source.name)
    await names.of([ONE])
    assert await names.of([ONE, TWO], ask=False) == {ONE: "name of 1"}
    assert source.asked == [ONE]


async def test_one_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds nothing up, and is asked for again."""
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    source = Source()
    names = Names(source.name)
    for _ in range(2):
        assert await names.of([ONE, SLOW]) == {ONE: "name of 1"}
    assert source.asked == [ONE, SLOW, SLOW]


async def test_remembers_so_many() -> None:
    """Those that were wanted last."""
    source = Source()
    names = Names(source.name, most=2)
    await names.of([ONE])
    await names.of([TWO])
    await names.of([ONE])
    await names.of([b"3"])
    source.asked.clear()
    await names.of([ONE, b"3"])
    assert source.asked == []
    await names.of([TWO])
    assert source.asked == [TWO]


async def test_more_at_once_than_it_remembers() -> None:
    """All are told."""
    names = Names(Source().name, most=2)
    assert len(await names.of([ONE, TWO, b"3", b"4"])) == 4
