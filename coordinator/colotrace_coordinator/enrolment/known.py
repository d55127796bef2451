"""Which enrolled agents this coordinator knows, and which of them are revoked.

The database has them for all coordinators. Each coordinator looks for changes twice a second, so
that a revoked agent loses its stream within a second, also at coordinators that it did not attach
to before. A change is looked for by its time. A transaction can be committed long after it has
taken the time, so some further agents are read at each look, too, until all were.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

import structlog
from colotrace_proto.messages import AgentId, ColoName

from colotrace_coordinator.authority.identity import IdentityId
from colotrace_coordinator.errors import StoreError
from colotrace_coordinator.fleet.registry import AgentName
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.tables import EnrolledAgent

LOOK_EVERY_S = 0.5
READ_AGAIN = 100
"""Agents that each look reads whether they have changed or not: all of 10,000 within a minute."""
PRUNE_EVERY_S = 6 * 3_600.0

log = structlog.get_logger(__name__)


class KnownAgents:
    """The enrolled agents, as the database had them at the last look."""

    def __init__(self, agents: EnrolledAgents, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._agents = agents
        self._look_every_s = look_every_s
        # With the end of the newest certificate, in Unix seconds.
        self._valid: dict[IdentityId, float] = {}
        self._revoked: set[IdentityId] = set()
        self._drained: dict[IdentityId, AgentName] = {}
        # Of the valid ones. No two of them have the same name.
        self._names: dict[IdentityId, AgentName] = {}
        self._named: dict[AgentName, IdentityId] = {}
        self._seen_ms = 0
        self._read_up_to = ""

    async def load(self) -> None:
        """Read all of them.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._look()

    async def is_valid(self, identity: IdentityId) -> bool:
        """Whether the agent may attach. One that has joined since the last look is looked up.

        Raises:
            StoreUnavailableError: the agent is not known, and the database does not answer.
        """
        if identity not in self._valid and identity not in self._revoked:
            agent = await self._agents.find(identity)
            if agent is not None:
                self._take([agent])
        return identity in self._valid

    def ends_at(self, identity: IdentityId) -> float:
        """When the agent's newest certificate ends, in Unix seconds; 0 if it is unknown or
        revoked."""
        return self._valid.get(identity, 0.0)

    def is_named(self, name: AgentName, *, now: float) -> bool:
        """Whether an agent with this colo and id is enrolled, not revoked, and has a certificate
        that has not ended by `now`, in Unix seconds."""
        identity = self._named.get(name)
        return identity is not None and self._valid[identity] > now

    def named(self, *, now: float) -> dict[IdentityId, AgentName]:
        """Colo and id of the agents that are enrolled, not revoked, and have a certificate that has
        not ended by `now`."""
        return {each: name for each, name in self._names.items() if self._valid[each] > now}

    async def run(
        self,
        *,
        revoked: Callable[[Collection[IdentityId]], None],
        drained: Callable[[frozenset[AgentName]], None],
    ) -> None:
        """Look for changes until cancelled. `revoked` is called with the agents that were revoked
        since the last look, and `drained` with all drained ones, at first and after each look with
        a change. While the database does not answer, nothing changes."""
        told = frozenset(self._drained.values())
        drained(told)
        loop = asyncio.get_running_loop()
        pruned_at = loop.time()
        trouble = ""
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                lost = await self._look()
                if loop.time() - pruned_at > PRUNE_EVERY_S:
                    pruned_at = loop.time()
                    with suppress(StoreError):  # on a full disk
                        await self._agents.prune()
            except StoreError as error:
                if not trouble:
                    log.warning("revocations_not_read", detail=str(error))
                trouble = str(error)
                continue
            trouble = ""
            if lost:
                revoked(lost)
            if told != (now := frozenset(self._drained.values())):
                told = now
                drained(told)

    async def _look(self) -> Collection[IdentityId]:
        agents, self._seen_ms = await self._agents.changed(self._seen_ms)
        again = await self._agents.following(self._read_up_to, most=READ_AGAIN)
        self._read_up_to = again[-1].id if len(again) == READ_AGAIN else ""
        return self._take({each.id: each for each in (*agents, *again)}.values())

    def _take(self, agents: Collection[EnrolledAgent]) -> Collection[IdentityId]:
        """Those of the agents that have been revoked."""
        lost = []
        for agent in agents:
            identity = IdentityId(agent.id)
            if identity in self._revoked:
                # A revocation is final: this row was read before it, by a slower look.
                continue
            self._drained.pop(identity, None)
            former = self._names.pop(identity, None)
            if former is not None and self._named.get(former) == identity:
                del self._named[former]
            if agent.revoked_at is None:
                name = ColoName(agent.colo), AgentId(agent.agent_id)
                self._valid[identity] = agent.certificate_ends_at
                self._names[identity], self._named[name] = name, identity
                if agent.drained:
                    self._drained[identity] = name
            else:
                self._valid.pop(identity, None)
                self._revoked.add(identity)
                lost.append(identity)
        return lost
