"""Which agents are attached, by colo, and which colos are known. Pure: no logs, and no clock but
that for people."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from colotrace_proto.locations import Location
from colotrace_proto.messages import AgentId, ColoName, Family, Hello
from msgspec.structs import replace

from colotrace_coordinator.colos.known import ColoFacts, KnownColos
from colotrace_coordinator.errors import RegistryFullError, SupersededError
from colotrace_coordinator.model import AgentStatus, ColoStatus
from colotrace_coordinator.shares import Shares

from .agents import AgentKey, AgentName
from .attached import Agent
from .link import AgentLink
from .troubles import Troubles

MAX_AGENTS = 5_000
MAX_AGENTS_OF_COLO = 256
MAX_COLOS = 10_000
MAX_INVENTED_COLOS = 256
"""Bound on known colos without certificates: any agent can then invent a colo."""


class PersistentColos(Protocol):
    """Keeps the known colos over restarts."""

    def all(self) -> Iterable[tuple[ColoName, ColoFacts]]:
        """Every colo that is kept. Called once, when the registry is built."""

    def remember(self, name: ColoName, facts: ColoFacts) -> None:
        """Keep a colo that is new, or of which something has changed. Must not block."""

    def forget(self, name: ColoName) -> None:
        """Delete the colo. Must not block."""


class Registry:
    """Attached agents and known colos.

    An agent's id is unique in its colo only, so that the holder of one colo's certificate cannot
    supersede another colo's agent.
    """

    def __init__(
        self,
        persistent: PersistentColos,
        *,
        vouched: bool = True,
        max_agents: int = MAX_AGENTS,
        max_agents_of_colo: int = MAX_AGENTS_OF_COLO,
        max_colos: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`vouched`: certificates vouch for agents' colos. If not, and `max_colos` are known, a new
        colo replaces one that was not remembered from before and has no agent. `wall` gives seconds
        of Unix time."""
        self._persistent = persistent
        self._wall = wall
        self.troubles = Troubles(wall=wall)
        self._vouched = vouched
        self._shares: Shares[ColoName] = Shares(max_agents, max_agents_of_colo)
        self._max_colos = max_colos or (MAX_COLOS if vouched else MAX_INVENTED_COLOS)
        # Colos that were not remembered from before, oldest first.
        self._new: dict[ColoName, None] = {}
        self.on_known: Callable[[ColoName], None] = lambda _: None
        self.on_forgotten: Callable[[ColoName], None] = lambda _: None
        kept = dict(persistent.all())
        self._cities = {colo: facts.city for colo, facts in kept.items()}
        self.known = KnownColos(self._cities.items())
        """The known colos: those in `_cities`."""
        for colo, facts in kept.items():
            self.known.tag(colo, facts.tags)
        # Colos whose agents may still be about to attach.
        self._awaited: set[ColoName] = set(self._cities)
        self._drained: frozenset[AgentName] = frozenset()
        self._agents: dict[AgentKey, Agent] = {}
        self._by_colo: dict[ColoName, dict[AgentId, Agent]] = {}
        # Of colos that have an agent, or had one since the start.
        self._locations: dict[ColoName, Location] = {}
        # Computed when they are asked for, and removed when the colo or its agents change.
        self._statuses: dict[ColoName, ColoStatus] = {}

    def __len__(self) -> int:
        """Attached agents."""
        return len(self._agents)

    def get(self, key: AgentKey) -> Agent | None:
        """The agent, or None if it is not attached."""
        return self._agents.get(key)

    def named(self, name: AgentName) -> Agent | None:
        """The attached agent with this name."""
        colo, agent_id = name
        return self._by_colo.get(colo, {}).get(agent_id)

    def names(self) -> list[AgentName]:
        """The names of all attached agents."""
        return [agent.name for agent in self._agents.values()]

    def attach(
        self,
        hello: Hello,
        now: float,
        *,
        link: AgentLink,
        draining: bool = False,
        away: bool = False,
    ) -> Agent | None:
        """Attach the agent; returns the other process with the same id that it replaces.

        A process that attaches again replaces itself, and keeps whether it is draining.

        Raises:
            RegistryFullError: a bound on agents or colos is reached.
            SupersededError: a later process with this id is attached.
        """
        key = AgentKey.of(hello)
        present = self._by_colo.get(hello.colo, {}).get(hello.agent_id)
        if present is not None and hello.boot_id in present.superseded:
            raise SupersededError(
                f"a later process has attached as {hello.agent_id} of {hello.colo}; "
                "give each agent of a colo an id of its own"
            )
        same = self._agents.get(key)
        if same is not None and same.hello.colo != hello.colo:
            raise SupersededError(f"this process is already attached for {same.hello.colo}")
        if present is not None and present.key != key:
            present.contest(now)
        if present is None and not self._shares.take(hello.colo):
            held = self._shares.held(hello.colo)
            raise RegistryFullError(
                f"{held} agents of {hello.colo} and {len(self)} in all are attached, and no more "
                f"of {hello.colo} may"
            )
        if hello.colo not in self._cities:
            try:
                self._make_room()
            except RegistryFullError:
                if present is None:
                    self._shares.release(hello.colo)
                raise
        self._statuses.pop(hello.colo, None)
        if hello.colo not in self._cities:
            self._new[hello.colo] = None
            self.on_known(hello.colo)
        changed = self._cities.get(hello.colo) != hello.city
        if changed:
            self._cities[hello.colo] = hello.city
            self.known.put(hello.colo, hello.city)

        agent = Agent(key, replace(hello, held_jobs=()), link, now, draining=draining, away=away)
        agent.attached_since = self._wall()
        agent.drained = agent.name in self._drained
        replaced = None
        if present is not None:
            self._remove(present)
            if present.key == key:
                agent.resume(present)
            else:
                replaced = present
                agent.take_over(present, now)
        self._agents[key] = agent
        self._by_colo.setdefault(hello.colo, {})[hello.agent_id] = agent
        self._retag(hello.colo, changed=changed)
        if not agent.draining:
            self._awaited.discard(hello.colo)
        elif agent.away and all(each.draining for each in self._by_colo[hello.colo].values()):
            self._awaited.add(hello.colo)
        return replaced

    def detach(self, key: AgentKey) -> Agent | None:
        """End the agent's attachment; returns the agent, or None if it was not attached."""
        agent = self._agents.get(key)
        if agent is not None:
            self._remove(agent)
            self._retag(agent.hello.colo)
            self._shares.release(agent.hello.colo)
        return agent

    def forget(self, colo: ColoName) -> bool:
        """Forget a colo; False if it has an agent."""
        if colo in self._by_colo:
            return False
        if self._cities.pop(colo, None) is not None:
            self.known.discard(colo)
            self._statuses.pop(colo, None)
            self._locations.pop(colo, None)
            self._new.pop(colo, None)
            self._awaited.discard(colo)
            self._persistent.forget(colo)
            self.on_forgotten(colo)
        return True

    def agents(self, colo: ColoName) -> Sequence[Agent]:
        """The colo's attached agents, in the order in which they attached."""
        return tuple(self._by_colo.get(colo, {}).values())

    def awaited(self, colo: ColoName) -> bool:
        """Whether jobs may wait for an agent of the colo: no agent that takes jobs has attached
        since the start or since `await_all`. True for a new colo until the broker has announced an
        agent."""
        return colo in self._awaited

    def await_all(self) -> None:
        """Await all colos again: agents may have left because this coordinator did not answer."""
        self._awaited.update(self._by_colo)

    def await_agent(self, colo: ColoName) -> None:
        """Await an agent of this colo again: it was renamed, and attaches under its new name."""
        if colo in self._cities and colo not in self._by_colo:
            self._awaited.add(colo)

    def city(self, colo: ColoName) -> str:
        """The colo's city, or "" if it is unknown."""
        return self._cities.get(colo, "")

    def facts(self, colo: ColoName) -> ColoFacts:
        """What the colo's agents have stated of it."""
        return ColoFacts(self.city(colo), self.known.tags(colo))

    def mark(self, agent: Agent, *, draining: bool, away: bool = False) -> None:
        """Set whether an attached agent takes no new jobs; see `Agent`."""
        agent.draining, agent.away = draining, away
        if not draining:
            self._awaited.discard(agent.hello.colo)
        self._statuses.pop(agent.hello.colo, None)

    def drain(self, names: frozenset[AgentName]) -> list[Agent]:
        """Let these agents take no new jobs, attached or not, and all others take some. Returns the
        attached ones for which that is a change."""
        self._drained = names
        changed = [
            agent for agent in self._agents.values() if agent.drained is not (agent.name in names)
        ]
        for agent in changed:
            agent.drained = not agent.drained
            self._statuses.pop(agent.hello.colo, None)
        return changed

    def set_families(self, agent: Agent, families: frozenset[Family]) -> None:
        """Replace the address families that an attached agent can send."""
        agent.hello = replace(agent.hello, families=families)
        self._statuses.pop(agent.hello.colo, None)

    def versions(self) -> list[str]:
        """The version of each attached agent, as it tells it."""
        return [each.hello.software_version for each in self._agents.values()]

    def colos(self) -> tuple[ColoStatus, ...]:
        """The state of every known colo, sorted by name."""
        for colo in self.known:
            if colo not in self._statuses:
                self._statuses[colo] = self._status(colo)
        return tuple(self._statuses[colo] for colo in self.known)

    def every_agent(self) -> Iterator[AgentStatus]:
        """All attached agents, by colo and id."""
        for colo in tuple(self.known):
            for agent_id in sorted(self._by_colo.get(colo, ())):
                agent = self._by_colo.get(colo, {}).get(agent_id)
                if agent is not None:  # it may leave between two steps
                    yield self._agent_status(agent)

    def _agent_status(self, agent: Agent) -> AgentStatus:
        hello = agent.hello
        return AgentStatus(
            id=hello.agent_id,
            colo=hello.colo,
            version=hello.software_version,
            families=hello.families,
            packet_types=hello.packet_types,
            tags=hello.tags,
            attached_since=agent.attached_since,
            last_trouble=self.troubles.last(hello.colo, hello.agent_id),
            location=hello.location,
            host=hello.host,
            usage=agent.usage,
        )

    def _retag(self, colo: ColoName, *, changed: bool = False) -> None:
        """Give the colo the tags and the location of its agents. It keeps those of the last one
        that has left. `changed`: it is to be remembered in any case."""
        agents = self._by_colo.get(colo)
        if not agents:
            return
        told = {each: agent.hello.location for each, agent in agents.items()}
        first = min((each for each, location in told.items() if location), default=None)
        self._locations.pop(colo, None)
        if first is not None and (location := told[first]):
            self._locations[colo] = location
        tags = frozenset().union(*(agent.hello.tags for agent in agents.values()))
        if changed or tags != self.known.tags(colo):
            self.known.tag(colo, tags)
            self._persistent.remember(colo, self.facts(colo))

    def _make_room(self) -> None:
        """
        Raises:
            RegistryFullError: the bound on colos is reached.
        """
        if len(self._cities) < self._max_colos:
            return
        if not self._vouched:
            for colo in self._new:
                if self.forget(colo):
                    return
        raise RegistryFullError(f"{self._max_colos} colos are known, and no more may be")

    def _status(self, colo: ColoName) -> ColoStatus:
        agents = self._by_colo.get(colo, {}).values()
        if not agents:
            state = "down"
        else:
            state = "up" if any(agent.takes_jobs for agent in agents) else "draining"
        return ColoStatus(
            name=colo,
            city=self._cities[colo],
            agents=len(agents),
            families=frozenset().union(*(agent.hello.families for agent in agents)),
            packet_types=frozenset().union(*(agent.hello.packet_types for agent in agents)),
            state=state,
            location=self._locations.get(colo),
        )

    def _remove(self, agent: Agent) -> None:
        self._statuses.pop(agent.hello.colo, None)
        del self._agents[agent.key]
        agents = self._by_colo[agent.hello.colo]
        del agents[agent.hello.agent_id]
        if not agents:
            del self._by_colo[agent.hello.colo]
