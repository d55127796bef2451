"""When a coordinator writes what its agents tell. The clock is the test's."""

from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.fleet.agents import AgentKey, AgentName
from colotrace_coordinator.fleet.fleet import Fleet
from colotrace_coordinator.fleet.link import AgentLink
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.model import Trouble
from colotrace_coordinator.store import seeing
from colotrace_coordinator.store.seeing import NEWS_EVERY_S, RENEW_EVERY_S, AgentMemory
from colotrace_coordinator.store.seen import SeenAgents, Told
from colotrace_proto.messages import Family, Hello, Usage
from manual_clock import ManualClock
from prometheus_client import CollectorRegistry
from structlog import get_logger
from unit.coordinator.scripted_agent import hello
from unit.coordinator.volatile import VolatileMemory

LINK = cast("AgentLink", None)


class Table:
    """Remembers what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, list[str]]] = []
        self.last: dict[str, Told] = {}
        self.broken = False

    def _write(self, what: str, names: list[str]) -> None:
        if self.broken:
            raise StoreUnavailableError("gone")
        self.written.append((what, names))

    async def attached(self, agents: Sequence[Told], *, news: bool) -> None:
        self._write("news" if news else "renewed", [facts.agent_id for facts, _ in agents])
        self.last |= {facts.agent_id: (facts, trouble) for facts, trouble in agents}

    async def left(self, agents: Mapping[AgentName, Trouble | None]) -> None:
        self._write("left", [agent_id for _, agent_id in agents])

    async def prune(self) -> None:
        pass

    def taken(self) -> list[tuple[str, list[str]]]:
        written, self.written = self.written, []
        return written


class Bed:
    def __init__(self) -> None:
        self.clock, self.table = ManualClock(100.0), Table()
        self.registry = Registry(VolatileMemory(), wall=self.clock)
        self.fleet = Fleet(self.registry, metrics=Metrics(CollectorRegistry()), log=get_logger())
        self.memory = AgentMemory(cast("SeenAgents", self.table), self.registry, clock=self.clock)
        self.fleet.on_changed = self.memory.changed

    def attach(self, agent_id: str, *, colo: str = "den01") -> Hello:
        told = hello(agent_id, colo=colo)
        assert self.fleet.admit(told, LINK, self.clock.now, available=True) is None
        return told

    async def later(self, seconds: float = 1.0) -> list[tuple[str, list[str]]]:
        """What is written then."""
        self.clock.now += seconds
        await self.memory.write()
        return self.table.taken()


@pytest.fixture
def bed() -> Bed:
    return Bed()


async def test_agents_that_come_and_go_are_written_together(bed: Bed) -> None:
    first = bed.attach("a")
    bed.attach("b")
    assert await bed.later() == [("news", ["a", "b"])]
    assert await bed.later(NEWS_EVERY_S) == []
    bed.fleet.detach(AgentKey.of(first), jobs=0)
    assert await bed.later() == [("left", ["a"])]


async def test_changes_of_one_agent_are_written_every_few_seconds(bed: Bed) -> None:
    """Though it flaps all the time."""
    told = bed.attach("a")
    assert await bed.later() == [("news", ["a"])]
    agent = bed.registry.get(AgentKey.of(told))
    assert agent is not None
    bed.fleet.set_families(agent, frozenset({Family.IPV6}))
    for _ in range(int(NEWS_EVERY_S) - 1):
        assert await bed.later() == []
    assert await bed.later() == [("news", ["a"])]
    assert bed.table.last["a"][0].families == {Family.IPV6}


async def test_first_usage_is_news_and_later_ones_wait_for_the_renewal(bed: Bed) -> None:
    told = bed.attach("a")
    await bed.later(1)
    agent = bed.registry.get(AgentKey.of(told))
    assert agent is not None
    bed.fleet.uses(agent, Usage(100, 1))
    assert await bed.later(NEWS_EVERY_S) == [("news", ["a"])]
    bed.fleet.uses(agent, Usage(200, 2))
    assert await bed.later(NEWS_EVERY_S) == []
    assert await bed.later(RENEW_EVERY_S) == [("renewed", ["a"])]
    assert bed.table.last["a"][0].cpu_millis == 200


async def test_renewals_of_many_agents_are_spread(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeing, "BATCH", 2)
    for agent_id in "abcde":
        bed.attach(agent_id)
    assert [what for what, _ in await bed.later()] == ["news"] * 3
    assert await bed.later(RENEW_EVERY_S) == [("renewed", ["a", "b"])]
    assert await bed.later() == [("renewed", ["c", "d"])]
    assert await bed.later() == [("renewed", ["e"])]
    assert await bed.later() == []


async def test_trouble_is_written_also_of_an_agent_that_is_not_attached(bed: Bed) -> None:
    bed.registry.troubles.note(hello("a").colo, hello("a").agent_id, "it could not attach")
    assert await bed.later() == [("left", ["a"])]
    bed.attach("a")
    await bed.later(NEWS_EVERY_S)
    trouble = bed.table.last["a"][1]
    assert trouble is not None
    assert trouble.words == "it could not attach"


async def test_what_could_not_be_written_is_written_later(bed: Bed) -> None:
    bed.attach("a")
    bed.table.broken = True
    with pytest.raises(StoreUnavailableError):
        await bed.later()
    bed.table.broken = False
    assert await bed.later() == [("news", ["a"])]
    bed.table.broken = True
    with pytest.raises(StoreUnavailableError):
        await bed.later(RENEW_EVERY_S)
    bed.table.broken = False
    assert await bed.later() == [("renewed", ["a"])]


async def test_news_of_too_many_agents_are_dropped(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeing, "MOST_WAITING", 2)
    for agent_id in "abc":
        bed.attach(agent_id)
    assert await bed.later() == [("news", ["b", "c"])]
    assert await bed.later(RENEW_EVERY_S) == [("renewed", ["a", "b", "c"])]
