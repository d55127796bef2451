"""Which enrolled agents a coordinator takes for valid."""

import asyncio

import pytest
from colotrace_coordinator.authority.identity import IdentityId
from colotrace_coordinator.enrolment.known import KnownAgents
from colotrace_coordinator.store.tables import EnrolledAgent
from colotrace_proto.messages import AgentId, ColoName

AGENT = IdentityId("0123456789abcdef")


def row(*, revoked_at: int | None, agent_id: str = "a1", changed_ms: int = 1) -> EnrolledAgent:
    return EnrolledAgent(
        id=AGENT,
        colo="den01",
        agent_id=agent_id,
        city="Denver",
        certificate_ends_at=1_000,
        revoked_at=revoked_at,
        drained=False,
        changed_ms=changed_ms,
    )


class SlowAgents:
    """Rows of a database. `find` answers when it is let go, with what it has read before."""

    def __init__(self) -> None:
        self.revoked_at: int | None = None
        self.name, self.changed_ms = "a1", 1
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def find(self, _: str) -> EnrolledAgent:
        found = self._row()
        self.asked.set()
        await self.answer.wait()
        return found

    async def changed(self, since_ms: int) -> tuple[list[EnrolledAgent], int]:
        return [self._row()], since_ms + 1

    def _row(self) -> EnrolledAgent:
        return row(revoked_at=self.revoked_at, agent_id=self.name, changed_ms=self.changed_ms)

    async def following(self, _: str, **__: int) -> list[EnrolledAgent]:
        return []


async def test_agent_that_is_revoked_while_it_is_looked_up_stays_revoked() -> None:
    """Otherwise its stream would never end: no later look would report it again."""
    agents = SlowAgents()
    known = KnownAgents(agents)  # type: ignore[arg-type]
    attaching = asyncio.create_task(known.current(AGENT))
    await agents.asked.wait()
    agents.revoked_at = 1
    await known.load()
    agents.answer.set()
    assert await attaching is None
    assert await known.current(AGENT) is None


async def test_row_that_was_read_before_a_renaming_does_not_undo_it() -> None:
    """It would end the agent's stream twice."""
    agents = SlowAgents()
    known = KnownAgents(agents)  # type: ignore[arg-type]
    attaching = asyncio.create_task(known.current(AGENT))
    await agents.asked.wait()
    agents.name, agents.changed_ms = "b1", 2
    await known.load()
    agents.answer.set()
    name = await attaching
    assert name is not None
    assert name.agent_id == "b1"


def named(identity: str, agent_id: str, *, revoked_at: int | None = None) -> EnrolledAgent:
    return EnrolledAgent(
        id=identity,
        colo="den01",
        agent_id=agent_id,
        city="Denver",
        certificate_ends_at=1_000,
        revoked_at=revoked_at,
        drained=False,
        changed_ms=1,
    )


class Rows:
    """What the next look reads."""

    def __init__(self) -> None:
        self.rows: list[EnrolledAgent] = []

    async def changed(self, since_ms: int) -> tuple[list[EnrolledAgent], int]:
        return self.rows, since_ms + 1

    async def following(self, _: str, **__: int) -> list[EnrolledAgent]:
        return []

    async def find(self, identity: str) -> EnrolledAgent | None:
        return next((row for row in self.rows if row.id == identity), None)


async def test_name_counts_while_its_agent_is_enrolled_and_certified() -> None:
    """Another agent may have it once the first is revoked; a name that is no longer used counts no
    more."""
    rows = Rows()
    known = KnownAgents(rows)  # type: ignore[arg-type]
    name = ColoName("den01"), AgentId("a")
    rows.rows = [named("1" * 16, "a")]
    await known.load()
    assert known.is_named(name, now=999)
    assert not known.is_named(name, now=1_000)
    rows.rows = [named("2" * 16, "a"), named("1" * 16, "a", revoked_at=1)]
    await known.load()
    assert known.is_named(name, now=0)
    assert known.named(now=0) == {"2" * 16: name}
    rows.rows = [named("2" * 16, "b")]
    await known.load()
    assert not known.is_named(name, now=0)
    rows.rows = [named("2" * 16, "b", revoked_at=1)]
    await known.load()
    assert known.named(now=0) == {}


async def test_agent_at_a_broker_is_known_by_the_name_in_its_certificate() -> None:
    rows = Rows()
    renamed = named("1" * 16, "new")
    renamed.certified_name = "den01/former"
    rows.rows = [renamed, named("2" * 16, "other")]
    known = KnownAgents(rows, by_certificate=True)  # type: ignore[arg-type]
    await known.load()
    assert known.named(now=0) == {"1" * 16: ("den01", "former"), "2" * 16: ("den01", "other")}
    elsewhere = KnownAgents(rows)  # type: ignore[arg-type]
    await elsewhere.load()
    assert elsewhere.named(now=0)[IdentityId("1" * 16)] == ("den01", "new")


def renamed(identity: str, *, former: str, to: str) -> EnrolledAgent:
    """An agent whose certificate has its former name."""
    row = named(identity, to)
    row.certified_name = f"den01/{former}"
    return row


@pytest.mark.parametrize("order", [1, -1])
async def test_former_name_at_a_broker_is_lost_to_another_agent(order: int) -> None:
    """Both would have the topics of that name, and either could pass for the other."""
    rows, known_as = Rows(), (ColoName("den01"), AgentId("a"))
    first, second = IdentityId("1" * 16), IdentityId("2" * 16)
    known = KnownAgents(rows, by_certificate=True)  # type: ignore[arg-type]
    rows.rows = [renamed(first, former="a", to="b")]
    await known.load()
    assert known.named(now=0) == {first: known_as}
    assert await known.holds(first, known_as)
    rows.rows = [renamed(first, former="a", to="b"), named(second, "a")][::order]
    await known.load()
    assert known.named(now=0) == {second: known_as}
    assert (await known.holds(first, known_as), await known.holds(second, known_as)) == (
        False,
        True,
    )
    rows.rows = [renamed(first, former="a", to="b")]  # read again, without a change
    await known.load()
    assert known.named(now=0) == {second: known_as}


async def test_name_of_an_agent_that_has_no_certificate_for_it_is_nobodys() -> None:
    rows, known_as = Rows(), (ColoName("den01"), AgentId("a"))
    known = KnownAgents(rows, by_certificate=True)  # type: ignore[arg-type]
    rows.rows = [renamed("1" * 16, former="a", to="b"), renamed("2" * 16, former="c", to="a")]
    await known.load()
    assert known.named(now=0) == {"2" * 16: ("den01", "c")}
    assert not known.is_named(known_as, now=0)


async def test_certificate_since_the_last_look_is_looked_up() -> None:
    """And the next look still reports the new name."""
    rows, first = Rows(), IdentityId("1" * 16)
    known = KnownAgents(rows, by_certificate=True)  # type: ignore[arg-type]
    rows.rows = [named(first, "a")]
    await known.load()
    rows.rows = [named(first, "b")]
    assert await known.holds(first, (ColoName("den01"), AgentId("b")))
    assert not await known.holds(first, (ColoName("den01"), AgentId("c")))
    assert known.attached_as(first) == ("den01", "a")
