"""Which agents are attached, by colo, and which colos there are."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from colotrace_proto.messages import AgentId, ColoName, Family, Hello, JobId

from .errors import CoordinatorError
from .fanout.agents import AgentKey, Candidate
from .model import ColoStatus

MAX_AGENTS = 5_000
MAX_COLOS = 10_000
_SUPERSEDED_KEPT = 16


class ColoMemory(Protocol):
    """Remembers colos over restarts."""

    def all(self) -> Iterable[tuple[ColoName, str]]:
        """Every colo ever remembered, with its city. Asked once, when the registry is built."""

    def remember(self, name: ColoName, city: str) -> None:
        """Keep a colo that is new, or whose city has changed. Must not block."""


class VolatileMemory:
    """A `ColoMemory` that lasts as long as the process."""

    def __init__(self, colos: Iterable[tuple[ColoName, str]] = ()) -> None:
        self._colos = dict(colos)

    def all(self) -> list[tuple[ColoName, str]]:
        """What has been remembered so far."""
        return list(self._colos.items())

    def remember(self, name: ColoName, city: str) -> None:
        """Keep the colo."""
        self._colos[name] = city


class RegistryFullError(CoordinatorError):
    """No room for another agent or colo, and why in words."""


class SupersededError(CoordinatorError):
    """A later process holds the agent's id."""


@dataclass(slots=True)
class Agent:
    """An attached agent. Times are in seconds, on the clock of `now`."""

    key: AgentKey
    hello: Hello
    heard_at: float
    # To be changed by `Registry.mark`, and the hello's families by `Registry.offers`.
    draining: bool = False
    running: set[JobId] = field(default_factory=set)
    # Earlier processes of the same id that this one has replaced.
    superseded: tuple[bytes, ...] = ()


class Registry:
    """The fleet as it stands.

    An agent's id belongs to its colo: another colo's agent may use the same one, so that the
    holder of one colo's certificate cannot push out another colo's agent.
    """

    def __init__(
        self, memory: ColoMemory, *, max_agents: int = MAX_AGENTS, max_colos: int = MAX_COLOS
    ) -> None:
        self._memory = memory
        self._max_agents = max_agents
        self._max_colos = max_colos
        self._cities: dict[ColoName, str] = dict(memory.all())
        # Colos whose agents may still be on their way to this coordinator.
        self._awaited: set[ColoName] = set(self._cities)
        self._agents: dict[AgentKey, Agent] = {}
        self._by_colo: dict[ColoName, dict[AgentId, Agent]] = {}
        self._statuses: tuple[ColoStatus, ...] | None = None

    def __len__(self) -> int:
        return len(self._agents)

    def get(self, key: AgentKey) -> Agent | None:
        """The agent, where it is attached."""
        return self._agents.get(key)

    def attach(self, hello: Hello, now: float, *, draining: bool = False) -> Agent | None:
        """Take the agent in; returns the other process of the same id that it replaces.

        The same process attaching again takes its own place; it keeps its running jobs, and
        whether it is draining.

        Raises:
            RegistryFullError: a bound on agents or colos is reached.
            SupersededError: a later process with this id is attached.
        """
        key = AgentKey(hello.agent_id, hello.boot_id)
        present = self._by_colo.get(hello.colo, {}).get(hello.agent_id)
        if present is not None and hello.boot_id in present.superseded:
            raise SupersededError(
                f"a later process has attached as {hello.agent_id} of {hello.colo}; "
                "give each agent of a colo an id of its own"
            )
        same = self._agents.get(key)
        if same is not None and same.hello.colo != hello.colo:
            raise SupersededError(f"this process is already attached for {same.hello.colo}")
        if present is None and len(self._agents) >= self._max_agents:
            raise RegistryFullError(f"{self._max_agents} agents are attached, and no more may")
        if hello.colo not in self._cities and len(self._cities) >= self._max_colos:
            raise RegistryFullError(f"{self._max_colos} colos are known, and no more may be")
        self._statuses = None
        if self._cities.get(hello.colo) != hello.city:
            self._cities[hello.colo] = hello.city
            self._memory.remember(hello.colo, hello.city)

        agent = Agent(key, replace(hello, held_jobs=()), now, draining)
        replaced = None
        if present is not None:
            self._remove(present)
            if present.key == key:
                agent.running, agent.superseded = present.running, present.superseded
                agent.draining = present.draining
            else:
                replaced = present
                kept = (*present.superseded, present.key.boot_id)
                agent.superseded = kept[-_SUPERSEDED_KEPT:]
        self._agents[key] = agent
        self._by_colo.setdefault(hello.colo, {})[hello.agent_id] = agent
        self._awaited.discard(hello.colo)
        return replaced

    def detach(self, key: AgentKey) -> Agent | None:
        """The agent's attachment has ended; returns it where it was attached."""
        agent = self._agents.get(key)
        if agent is not None:
            self._remove(agent)
        return agent

    def candidates(self, colo: ColoName) -> list[Candidate]:
        """The colo's attached agents, in the order in which they came."""
        return [
            Candidate(
                key=agent.key,
                families=agent.hello.families,
                packet_types=agent.hello.packet_types,
                running=len(agent.running),
                draining=agent.draining,
                heard_at=agent.heard_at,
            )
            for agent in self._by_colo.get(colo, {}).values()
        ]

    def awaited(self, colo: ColoName) -> bool:
        """Whether the colo was known before the start, or before `await_all`, and no agent of it
        has attached since."""
        return colo in self._awaited

    def await_all(self) -> None:
        """Agents may have left because this coordinator did not answer: they are on their way."""
        self._awaited.update(self._by_colo)

    def city(self, colo: ColoName) -> str:
        """Where the colo is, for people; "" where that was never told."""
        return self._cities.get(colo, "")

    def mark(self, agent: Agent, *, draining: bool) -> None:
        """Whether an attached agent is about to stop."""
        agent.draining = draining
        self._statuses = None

    def offers(self, agent: Agent, families: frozenset[Family]) -> None:
        """Replace the families that an attached agent has said it can send."""
        agent.hello = replace(agent.hello, families=families)
        self._statuses = None

    def colos(self) -> tuple[ColoStatus, ...]:
        """Every colo that is known, by name. Asked for by each request, and seldom another."""
        if self._statuses is None:
            self._statuses = tuple(self._status(colo) for colo in sorted(self._cities))
        return self._statuses

    def _status(self, colo: ColoName) -> ColoStatus:
        agents = self._by_colo.get(colo, {}).values()
        if not agents:
            state = "down"
        else:
            state = "draining" if all(agent.draining for agent in agents) else "up"
        return ColoStatus(
            name=colo,
            city=self._cities[colo],
            agents=len(agents),
            families=frozenset().union(*(agent.hello.families for agent in agents)),
            packet_types=frozenset().union(*(agent.hello.packet_types for agent in agents)),
            state=state,
        )

    def _remove(self, agent: Agent) -> None:
        self._statuses = None
        del self._agents[agent.key]
        agents = self._by_colo[agent.hello.colo]
        del agents[agent.hello.agent_id]
        if not agents:
            del self._by_colo[agent.hello.colo]
