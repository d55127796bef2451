"""Which enrolled agents a coordinator takes for valid."""

import asyncio

from colotrace_coordinator.authority.identity import IdentityId
from colotrace_coordinator.enrolment.known import KnownAgents
from colotrace_coordinator.store.tables import EnrolledAgent

AGENT = IdentityId("0123456789abcdef")


def row(*, revoked_at: int | None) -> EnrolledAgent:
    return EnrolledAgent(id=AGENT, certificate_ends_at=1_000, revoked_at=revoked_at)


class SlowAgents:
    """Rows of a database. `find` answers when it is let go, with what it has read before."""

    def __init__(self) -> None:
        self.revoked_at: int | None = None
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def find(self, _: str) -> EnrolledAgent:
        found = row(revoked_at=self.revoked_at)
        self.asked.set()
        await self.answer.wait()
        return found

    async def changed(self, since_ms: int) -> tuple[list[EnrolledAgent], int]:
        return [row(revoked_at=self.revoked_at)], since_ms + 1

    async def following(self, _: str, **__: int) -> list[EnrolledAgent]:
        return []


async def test_agent_that_is_revoked_while_it_is_looked_up_stays_revoked() -> None:
    """Otherwise its stream would never end: no later look would report it again."""
    agents = SlowAgents()
    known = KnownAgents(agents)  # type: ignore[arg-type]
    attaching = asyncio.create_task(known.is_valid(AGENT))
    await agents.asked.wait()
    agents.revoked_at = 1
    await known.load()
    agents.answer.set()
    assert not await attaching
    assert not await known.is_valid(AGENT)
