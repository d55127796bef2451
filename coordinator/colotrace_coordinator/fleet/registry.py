"""Which agents are attached, by colo, and which colos there are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from colotrace_proto.messages import AgentId, ColoName, Family, Hello, JobId

from colotrace_coordinator.errors import CoordinatorError
from colotrace_coordinator.model import ColoStatus
from colotrace_coordinator.shares import Shares

from .agents import AgentKey, Candidate

MAX_AGENTS = 5_000
MAX_AGENTS_OF_COLO = 256
MAX_COLOS = 10_000
MAX_INVENTED_COLOS = 256
"""Known colos where no certificate vouches for them: anybody can invent one."""
MAX_TAKEOVERS = 3
CONTEST_S = 60.0
"""A process that takes over its agent's id from another that is attached has been restarted. After
so many within that time there are several processes with one id: the one that is attached stays,
until no other has tried for that time."""
_SUPERSEDED_KEPT = 16


class ColoMemory(Protocol):
    """Remembers colos over restarts."""

    def all(self) -> Iterable[tuple[ColoName, str]]:
        """Every colo ever remembered, with its city. Asked once, when the registry is built."""

    def remember(self, name: ColoName, city: str) -> None:
        """Keep a colo that is new, or whose city has changed. Must not block."""

    def forget(self, name: ColoName) -> None:
        """Keep the colo no longer. Must not block."""


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
    away: bool = False
    running: set[JobId] = field(default_factory=set)
    # Earlier processes of the same id that this one has replaced.
    superseded: tuple[bytes, ...] = ()
    # When this id was last taken over, and when that was last refused.
    takeovers: tuple[float, ...] = ()
    contested_at: float | None = None


class Registry:
    """The fleet as it stands.

    An agent's id belongs to its colo: another colo's agent may use the same one, so that the
    holder of one colo's certificate cannot push out another colo's agent.
    """

    def __init__(
        self,
        memory: ColoMemory,
        *,
        vouched: bool = True,
        max_agents: int = MAX_AGENTS,
        max_agents_of_colo: int = MAX_AGENTS_OF_COLO,
        max_colos: int | None = None,
    ) -> None:
        """`vouched` says that certificates vouch for agents' colos. Where none do, and as many
        colos are known as may be, a new one takes the place of one that was new, too, and has no
        agent."""
        self._memory = memory
        self._vouched = vouched
        self._max_agents = max_agents
        self._shares: Shares[ColoName] = Shares(max_agents, max_agents_of_colo)
        self._max_colos = max_colos or (MAX_COLOS if vouched else MAX_INVENTED_COLOS)
        # Colos that were not known before, in the order in which they came.
        self._new: dict[ColoName, None] = {}
        self.on_forgotten: Callable[[ColoName], None] = lambda _: None
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

    def attach(
        self, hello: Hello, now: float, *, draining: bool = False, away: bool = False
    ) -> Agent | None:
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
        if present is not None and present.key != key:
            _contest(present, now)
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
        self._statuses = None
        if hello.colo not in self._cities:
            self._new[hello.colo] = None
        if self._cities.get(hello.colo) != hello.city:
            self._cities[hello.colo] = hello.city
            self._memory.remember(hello.colo, hello.city)

        agent = Agent(key, replace(hello, held_jobs=()), now, draining, away)
        replaced = None
        if present is not None:
            self._remove(present)
            if present.key == key:
                agent.running, agent.superseded = present.running, present.superseded
                agent.takeovers, agent.contested_at = present.takeovers, present.contested_at
                agent.draining, agent.away = present.draining, present.away
            else:
                replaced = present
                kept = (*present.superseded, present.key.boot_id)
                agent.superseded = kept[-_SUPERSEDED_KEPT:]
                agent.takeovers = (*present.takeovers, now)[-MAX_TAKEOVERS:]
        self._agents[key] = agent
        self._by_colo.setdefault(hello.colo, {})[hello.agent_id] = agent
        if not agent.draining:
            self._awaited.discard(hello.colo)
        elif agent.away and all(each.draining for each in self._by_colo[hello.colo].values()):
            self._awaited.add(hello.colo)
        return replaced

    def detach(self, key: AgentKey) -> Agent | None:
        """The agent's attachment has ended; returns it where it was attached."""
        agent = self._agents.get(key)
        if agent is not None:
            self._remove(agent)
            self._shares.release(agent.hello.colo)
        return agent

    def forget(self, colo: ColoName) -> bool:
        """Forget a colo that has no agent; False where it has one."""
        if colo in self._by_colo:
            return False
        if self._cities.pop(colo, None) is not None:
            self._statuses = None
            self._new.pop(colo, None)
            self._awaited.discard(colo)
            self._memory.forget(colo)
            self.on_forgotten(colo)
        return True

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
                away=agent.away,
            )
            for agent in self._by_colo.get(colo, {}).values()
        ]

    def awaited(self, colo: ColoName) -> bool:
        """Whether to wait for an agent of the colo: since the start, or since `await_all`, none has
        attached that takes jobs. Also for a new colo, until the broker has announced an agent."""
        return colo in self._awaited

    def await_all(self) -> None:
        """Agents may have left because this coordinator did not answer: they are on their way."""
        self._awaited.update(self._by_colo)

    def city(self, colo: ColoName) -> str:
        """Where the colo is, for people; "" where that was never told."""
        return self._cities.get(colo, "")

    def mark(self, agent: Agent, *, draining: bool, away: bool = False) -> None:
        """Whether an attached agent takes no job: it is about to stop or, if `away`, is not at the
        broker."""
        agent.draining, agent.away = draining, away
        if not draining:
            self._awaited.discard(agent.hello.colo)
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

    def _make_room(self) -> None:
        """
        Raises:
            RegistryFullError: as many colos are known as may be.
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


def _contest(present: Agent, now: float) -> None:
    """Another process wants the id of the one that is attached.

    Raises:
        SupersededError: they are several, not one that was restarted.
    """
    recent = [at for at in present.takeovers if now - at < CONTEST_S]
    contested = present.contested_at is not None and now - present.contested_at < CONTEST_S
    if contested or len(recent) >= MAX_TAKEOVERS:
        present.contested_at = now
        agent_id, colo = present.hello.agent_id, present.hello.colo
        raise SupersededError(
            f"several processes attach as {agent_id} of {colo}, and one of them is attached; give "
            "each agent of a colo an id of its own"
        )
