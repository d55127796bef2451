"""What a coordinator knows of enrolled agents, while others change it in the database."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

import pytest
from colotrace_coordinator.authority.identity import EnrolledName, IdentityId
from colotrace_coordinator.enrolment.known import KnownAgents
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.fleet.agents import AgentName
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.store.renaming import Renaming
from colotrace_proto.messages import AgentId, ColoName
from eventually import until

DEN = ColoName("den01")


class Bed:
    """One coordinator looks, and another one changes."""

    def __init__(self, database: Database) -> None:
        self._enrolments = Enrolments(database)
        self.agents = EnrolledAgents(database)
        self.renaming = Renaming(database)
        self.known = KnownAgents(self.agents, look_every_s=0.01)
        self.revoked: list[IdentityId] = []
        self.drained: list[frozenset[AgentName]] = []
        self.renamed: list[Mapping[IdentityId, EnrolledName]] = []

    async def enrol(self, agent_id: str) -> IdentityId:
        secret = (await self._enrolments.issue(DEN, city="Denver", uses=1, lifetime_s=60)).secret
        joined = await self._enrolments.join(
            secret, agent_id=AgentId(agent_id), key_sha256=agent_id * 64, lifetime_s=60
        )
        return joined.identity.id

    async def run(self) -> None:
        def note(identities: Collection[IdentityId]) -> None:
            self.revoked.extend(identities)

        await self.known.run(revoked=note, drained=self.drained.append, renamed=self.renamed.append)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    database = await Database.open(locate(data=tmp_path, database=None))
    yield Bed(database)
    await database.close()


@pytest.fixture
async def running(bed: Bed) -> AsyncIterator[Bed]:
    await bed.known.load()
    task = asyncio.create_task(bed.run())
    yield bed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_agent_that_joined_elsewhere_is_known_at_once(bed: Bed) -> None:
    """Before the next look."""
    await bed.known.load()
    identity = await bed.enrol("a")
    assert await bed.known.current(identity) == (DEN, AgentId("a"), "Denver")
    assert bed.known.ends_at(identity) > 0
    assert await bed.known.current(IdentityId("f" * 16)) is None


async def test_revocation_is_reported_once(running: Bed) -> None:
    identity = await running.enrol("a")
    assert await running.known.current(identity) is not None
    await running.agents.revoke(identity)
    await until(lambda: running.revoked == [identity])
    assert await running.known.current(identity) is None
    await running.agents.forget(identity)
    await asyncio.sleep(0.1)
    assert running.revoked == [identity]


async def test_agent_that_was_revoked_before_it_attached_is_not_valid(bed: Bed) -> None:
    identity = await bed.enrol("a")
    await bed.agents.revoke(identity)
    assert await bed.known.current(identity) is None


async def test_renewal_extends_what_is_known(running: Bed) -> None:
    identity = await running.enrol("a")
    await running.agents.renewed(
        identity, key_sha256="b" * 64, ends_at=4_000_000_000, name="den01/a"
    )
    await until(lambda: running.known.ends_at(identity) == 4_000_000_000)


async def test_drained_agents_are_told_whenever_they_change(bed: Bed) -> None:
    """At the start, too."""
    first = await bed.enrol("a")
    await bed.agents.drain(first, drained=True)
    await bed.known.load()
    task = asyncio.create_task(bed.run())
    await until(lambda: bed.drained == [frozenset([(DEN, AgentId("a"))])])
    second = await bed.enrol("b")
    await bed.agents.drain(second, drained=True)
    await until(lambda: len(bed.drained) == 2)
    await bed.agents.drain(first, drained=False)
    await bed.agents.revoke(second)
    await until(lambda: bed.drained[-1] == frozenset())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_new_name_is_told_once(bed: Bed) -> None:
    identity = await bed.enrol("a")
    await bed.agents.drain(identity, drained=True)
    await bed.known.load()
    task = asyncio.create_task(bed.run())
    await bed.renaming.agent(identity, colo="den02", agent_id="b", city="Golden")
    name = EnrolledName(ColoName("den02"), AgentId("b"), "Golden")
    await until(lambda: bed.renamed == [{identity: name}])
    await until(lambda: bed.drained[-1] == {("den02", "b")})
    assert await bed.known.current(identity) == name
    await asyncio.sleep(0.1)
    assert len(bed.renamed) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_changes_while_the_database_does_not_answer(
    running: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = await running.enrol("a")
    assert await running.known.current(identity) is not None
    real, failed = running.agents.changed, asyncio.Event()

    async def fail(_: int) -> None:
        failed.set()
        raise StoreUnavailableError("the database does not answer")

    monkeypatch.setattr(running.agents, "changed", fail)
    async with asyncio.timeout(20):
        await failed.wait()
    assert await running.known.current(identity) is not None
    await running.agents.revoke(identity)
    monkeypatch.setattr(running.agents, "changed", real)
    await until(lambda: running.revoked == [identity])
