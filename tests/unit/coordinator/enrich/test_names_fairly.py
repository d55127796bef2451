"""Whose names are looked up next, with a name server that answers when the test says so."""

import asyncio
from collections.abc import AsyncIterator

import dns.name
import dns.resolver
import dns.reversename
import pytest
import structlog
from colotrace_coordinator.enrich import names as module
from colotrace_coordinator.enrich.names import MAX_IN_FLIGHT, Names
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.metrics import Metrics
from eventually import until
from prometheus_client import CollectorRegistry

MINE, THEIRS = Origin("mine", "t", 1), Origin("theirs", "t", 2)
MANY = [f"192.0.{n // 250}.{n % 250}" for n in range(4_000)]
WANTED = "198.51.100.1"


class Server:
    """Stands for `NameServers` and the resolver: no address has a name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.waiting: list[asyncio.Future[None]] = []

    def resolver(self) -> "Server":
        return self

    async def resolve(self, question: dns.name.Name, *_: object, **__: object) -> None:
        self.asked.append(dns.reversename.to_address(question))
        answered = asyncio.get_running_loop().create_future()
        self.waiting.append(answered)
        await answered
        raise dns.resolver.NXDOMAIN

    def answer(self, *, most: int = 1) -> None:
        """Answer the oldest questions."""
        for answered in self.waiting[:most]:
            answered.set_result(None)
        del self.waiting[:most]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(module, "NameServers", lambda *_, **__: server)
    monkeypatch.setattr(module, "MAX_QUEUED", 2_000)
    return server


@pytest.fixture
def numbers() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def names(server: Server, numbers: CollectorRegistry) -> AsyncIterator[Names]:
    async with Names(resolver=None, metrics=Metrics(numbers), log=structlog.get_logger()) as names:
        yield names


async def test_other_account_does_not_wait_for_a_backlog(names: Names, server: Server) -> None:
    """Thousands of addresses wait; another account's is looked up at once."""
    names.prefetch(MANY, MINE)
    await until(lambda: len(server.asked) > MAX_IN_FLIGHT / 2)
    mine = len(server.asked)
    assert mine < MAX_IN_FLIGHT
    asking = asyncio.create_task(names.names([WANTED], THEIRS, wait_s=5))
    await until(lambda: len(server.asked) > mine)
    assert server.asked[mine:] == [WANTED]
    server.answer(most=mine + 1)
    assert await asyncio.wait_for(asking, 20) == {}


async def test_address_of_a_backlog_is_looked_up_in_the_other_accounts_turn(
    names: Names, server: Server
) -> None:
    """Once: the turn in the backlog passes."""
    names.prefetch([*MANY[:500], WANTED], MINE)
    await until(lambda: len(server.asked) > MAX_IN_FLIGHT / 2)
    assert WANTED not in server.asked
    asking = asyncio.create_task(names.names([WANTED], THEIRS, wait_s=5))
    await until(lambda: server.asked[-1] == WANTED)
    while server.waiting:
        server.answer(most=100)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await asyncio.wait_for(asking, 20) == {}
    await until(lambda: len(server.asked) == 501)
    assert sorted(server.asked) == sorted([*MANY[:500], WANTED])


async def test_small_request_of_the_same_caller_passes_a_large_one(
    names: Names, server: Server
) -> None:
    names.prefetch(MANY[:1_000], MINE)
    await until(lambda: len(server.asked) > MAX_IN_FLIGHT / 2)
    names.prefetch([WANTED], MINE._replace(request=2))
    await until(lambda: server.asked[-1] == WANTED)


async def test_queue_is_bounded_and_leaves_places_to_other_accounts(
    names: Names, numbers: CollectorRegistry, server: Server
) -> None:
    """Addresses beyond an account's share are not looked up, and are counted."""
    names.prefetch(MANY, MINE)
    dropped = numbers.get_sample_value("colotrace_names_total", {"source": "dropped"})
    assert dropped == len(MANY) - 0.8 * module.MAX_QUEUED
    assert await names.names([MANY[-1]], MINE, wait_s=5) == {}
    names.prefetch(["198.51.100.2"], THEIRS)
    await until(lambda: "198.51.100.2" in server.asked)
