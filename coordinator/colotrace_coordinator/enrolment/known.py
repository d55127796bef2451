"""Which enrolled agents this coordinator knows, and which of them are revoked.

The database has them for all coordinators. Each coordinator looks for changes twice a second, so
that a revoked agent loses its stream within a second, also at coordinators that it did not attach
to before. A change is looked for by its time. A transaction can be committed long after it has
taken the time, so some further agents are read at each look, too, until all were. An agent that
was renamed attaches again under its new name.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import NamedTuple

import structlog
from colotrace_proto.messages import AgentId, ColoName

from colotrace_coordinator.authority.identity import EnrolledName, IdentityId
from colotrace_coordinator.errors import StoreError
from colotrace_coordinator.fleet.agents import AgentName
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.tables import EnrolledAgent

LOOK_EVERY_S = 0.5
READ_AGAIN = 100
"""Agents that each look reads whether they have changed or not: all of 10,000 within a minute."""
PRUNE_EVERY_S = 6 * 3_600.0

log = structlog.get_logger(__name__)


class _Known(NamedTuple):
    """An agent that is not revoked: when its newest certificate ends, in Unix seconds, its name,
    and when its row was changed."""

    ends_at: float
    name: EnrolledName
    changed_ms: int
    named: AgentName
    """Under which colo and id it is attached."""


class _Changes(NamedTuple):
    revoked: Collection[IdentityId]
    renamed: Mapping[IdentityId, EnrolledName]


class KnownAgents:
    """The enrolled agents, as the database had them at the last look."""

    def __init__(
        self,
        agents: EnrolledAgents,
        *,
        look_every_s: float = LOOK_EVERY_S,
        by_certificate: bool = False,
    ) -> None:
        """`by_certificate`: agents are attached under the names in their certificates, as at a
        broker, and not under those that they were given since."""
        self._by_certificate = by_certificate
        self._agents = agents
        self._look_every_s = look_every_s
        self._valid: dict[IdentityId, _Known] = {}
        self._revoked: set[IdentityId] = set()
        self._drained: dict[IdentityId, AgentName] = {}
        # The valid ones by their names in the list. No two of them have the same one.
        self._listed: dict[AgentName, IdentityId] = {}
        # By the names under which they are attached.
        self._named: dict[AgentName, IdentityId] = {}
        self._seen_ms = 0
        self._read_up_to = ""

    async def load(self) -> None:
        """Read all of them.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._look()

    async def current(self, identity: IdentityId) -> EnrolledName | None:
        """What the agent is called, if it may attach, and else None. One that has joined since the
        last look is looked up.

        Raises:
            StoreUnavailableError: the agent is not known, and the database does not answer.
        """
        if identity not in self._valid and identity not in self._revoked:
            agent = await self._agents.find(identity)
            if agent is not None:
                self._take([agent])
        known = self._valid.get(identity)
        return None if known is None else known.name

    def ends_at(self, identity: IdentityId) -> float:
        """When the agent's newest certificate ends, in Unix seconds; 0 if it is unknown or
        revoked."""
        known = self._valid.get(identity)
        return 0.0 if known is None else known.ends_at

    def attached_as(self, identity: IdentityId) -> AgentName | None:
        """Under which colo and id an agent is attached; None if it is unknown or revoked."""
        known = self._valid.get(identity)
        return None if known is None else known.named

    async def holds(self, identity: IdentityId, name: AgentName) -> bool:
        """Whether an agent that may attach may do so under the name in its certificate. It may not
        if it was certified for another name since, or if that is by now the name of another agent.

        Raises:
            StoreUnavailableError: the agent was not known by this name, and the database does not
                answer.
        """
        if self._listed.get(name, identity) != identity:
            return False
        known = self._valid.get(identity)
        if known is not None and known.named == name:
            return True
        # It may have been certified since the last look. The row is not taken: the next look has to
        # report what has changed.
        agent = await self._agents.find(identity)
        return agent is not None and agent.revoked_at is None and self._attached_as(agent) == name

    def is_named(self, name: AgentName, *, now: float) -> bool:
        """Whether an agent with this colo and id is enrolled, not revoked, and has a certificate
        that has not ended by `now`, in Unix seconds."""
        identity = self._named.get(name)
        return identity is not None and self._has(identity, name, now)

    def named(self, *, now: float) -> dict[IdentityId, AgentName]:
        """Colo and id of the agents that are enrolled, not revoked, and have a certificate that has
        not ended by `now`. Each name is that of one agent."""
        return {each: name for name, each in self._named.items() if self._has(each, name, now)}

    async def run(
        self,
        *,
        revoked: Callable[[Collection[IdentityId]], None],
        drained: Callable[[frozenset[AgentName]], None],
        renamed: Callable[[Mapping[IdentityId, EnrolledName]], None] = lambda _: None,
    ) -> None:
        """Look for changes until cancelled. `revoked` is called with the agents that were revoked
        since the last look, `renamed` with the new names of those that were renamed, and `drained`
        with all drained ones, at first and after each look with a change. While the database does
        not answer, nothing changes."""
        told = frozenset(self._drained.values())
        drained(told)
        loop = asyncio.get_running_loop()
        pruned_at = loop.time()
        trouble = ""
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                lost, names = await self._look()
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
            if names:
                renamed(names)
            if told != (now := frozenset(self._drained.values())):
                told = now
                drained(told)

    async def _look(self) -> "_Changes":
        agents, self._seen_ms = await self._agents.changed(self._seen_ms)
        again = await self._agents.following(self._read_up_to, most=READ_AGAIN)
        self._read_up_to = again[-1].id if len(again) == READ_AGAIN else ""
        return self._take({each.id: each for each in (*agents, *again)}.values())

    def _take(self, agents: Collection[EnrolledAgent]) -> "_Changes":
        """Those of the agents that have been revoked, and the new names of those with another
        one."""
        lost: list[IdentityId] = []
        valid: list[IdentityId] = []
        names: dict[IdentityId, EnrolledName] = {}
        for agent in agents:
            identity = IdentityId(agent.id)
            if identity in self._revoked:
                # A revocation is final: this row was read before it, by a slower look.
                continue
            before = self._valid.get(identity)
            if before is not None and agent.changed_ms < before.changed_ms:
                continue  # likewise
            self._drained.pop(identity, None)
            self._valid.pop(identity, None)
            if before is not None:
                _release(self._named, before.named, identity)
                _release(self._listed, before.name[:2], identity)
            if agent.revoked_at is None:
                name = EnrolledName(ColoName(agent.colo), AgentId(agent.agent_id), agent.city)
                named = self._attached_as(agent)
                known = _Known(agent.certificate_ends_at, name, agent.changed_ms, named)
                self._valid[identity], self._listed[name[:2]] = known, identity
                valid.append(identity)
                if before is not None and before.name != name:
                    names[identity] = name
                if agent.drained:
                    self._drained[identity] = known.named
            else:
                self._revoked.add(identity)
                lost.append(identity)
        for identity in valid:
            self._give_name(identity)
        return _Changes(lost, names)

    def _give_name(self, identity: IdentityId) -> None:
        """An agent that was renamed has its former name until it has a certificate for the new one,
        but not if another agent is called so by now: it could pass for that one."""
        name = self._valid[identity].named
        if self._listed.get(name) == identity:
            self._named[name] = identity
        elif name not in self._listed:
            self._named.setdefault(name, identity)

    def _has(self, identity: IdentityId, name: AgentName, now: float) -> bool:
        owner = self._listed.get(name, identity)
        return owner == identity and self._valid[identity].ends_at > now

    def _attached_as(self, agent: EnrolledAgent) -> AgentName:
        name = f"{agent.colo}/{agent.agent_id}"
        if self._by_certificate:
            name = agent.certified_name or name
        colo, _, agent_id = name.partition("/")
        return ColoName(colo), AgentId(agent_id)


def _release(names: dict[AgentName, IdentityId], name: AgentName, identity: IdentityId) -> None:
    if names.get(name) == identity:
        del names[name]
