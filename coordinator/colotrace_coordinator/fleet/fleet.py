"""The attached agents: who is admitted, who takes jobs, with metrics and logs."""

from collections.abc import Callable

from colotrace_proto.messages import ColoName, Family, Hello, Usage
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.errors import RegistryFullError, SupersededError
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.shares import TokenBuckets

from .agents import AgentKey, AgentName
from .attached import Agent
from .link import AgentLink, Closing, Rejected, Rejection
from .packet_counts import PacketCounts
from .registry import Registry


class Fleet:
    """The registry, and what has to be counted and logged when it changes."""

    def __init__(self, registry: Registry, *, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.registry = registry
        self._metrics = metrics
        self._log = log
        self.packets = PacketCounts(metrics)
        # Limits how often rejections are logged, by colo and agent id.
        self._logged: TokenBuckets[tuple[str, str]] = TokenBuckets(rate=1 / 60, burst=1)
        for colo in registry.known:
            metrics.know_colo(colo)
        self.on_changed: Callable[[AgentName], None] = lambda _: None
        """Called with each agent that has come, gone, had trouble, or tells something else."""
        registry.troubles.on_noted = lambda colo, agent_id: self.on_changed((colo, agent_id))
        registry.on_known = metrics.know_colo
        registry.on_forgotten = metrics.forget_colo

    def admit(
        self, hello: Hello, link: AgentLink, now: float, *, available: bool, away: bool = False
    ) -> Rejected | None:
        """Attach the agent; returns why not, or None if it is attached.

        An earlier process with its id is superseded, and its attachment closed.
        """
        rejected = self._attach(hello, link, now, available=available, away=away)
        if rejected is not None:
            self._metrics.agents_not_admitted.labels(reason=rejected.reason.value).inc()
            words = f"a process with its id could not attach: {rejected.detail}"
            self.registry.troubles.note(hello.colo, hello.agent_id, words)
        else:
            self.on_changed((hello.colo, hello.agent_id))
        return rejected

    def _attach(
        self, hello: Hello, link: AgentLink, now: float, *, available: bool, away: bool
    ) -> Rejected | None:
        if not hello.packet_types:
            return Rejected(Rejection.UNFIT, "no packet type in common")
        log = self._log.bind(agent=hello.agent_id, colo=hello.colo)
        known = self.registry.get(AgentKey.of(hello)) is not None
        try:
            replaced = self.registry.attach(
                hello, now, link=link, draining=not available, away=away
            )
        except SupersededError as error:
            if self._logged.spend((hello.colo, hello.agent_id), 1, now):
                log.warning("agent_id_in_use", detail=str(error))
            return Rejected(Rejection.SUPERSEDED, str(error))
        except RegistryFullError as error:
            if self._logged.spend((hello.colo, ""), 1, now):
                log.warning("agent_not_admitted", detail=str(error))
            return Rejected(Rejection.FULL, str(error))
        if replaced is not None:
            detail = f"another process has attached as {hello.agent_id} of {hello.colo}"
            log.warning("agent_superseded", detail=detail)
            replaced.link.close(replaced.key, Closing.SUPERSEDED, detail)
        self._count_agents(hello.colo)
        if not known:
            held = len(hello.held_jobs)
            log.info("agent_attached", version=hello.software_version, held_jobs=held)
        return None

    def detach(self, key: AgentKey, *, jobs: int, renamed: bool = False) -> bool:
        """End the attachment of an agent that has `jobs` jobs; False if it was not attached. One
        that is `renamed` is not lost."""
        agent = self.registry.detach(key)
        if agent is None:
            return False
        colo = agent.hello.colo
        event = "agent_renamed" if renamed else "agent_detached"
        self._log.info(event, agent=key.agent_id, colo=colo, jobs=jobs)
        self._count_agents(colo)
        if not renamed:
            self._metrics.agent_losses.labels(colo=colo).inc()
        self.on_changed((colo, key.agent_id))
        return True

    def trouble(self, key: AgentKey, why: str) -> None:
        """Remember why the stream of an attached agent ended. One that is stopping may end its
        stream as it likes."""
        agent = self.registry.get(key)
        if agent is not None and (agent.away or not agent.draining):
            words = f"its stream ended: {why}"
            self.registry.troubles.note(agent.hello.colo, key.agent_id, words)

    def uses(self, agent: Agent, usage: Usage) -> None:
        """Remember what an agent's process uses, as it has told."""
        first = agent.usage is None
        agent.usage = usage
        if first:  # later ones are read from time to time
            self.on_changed((agent.hello.colo, agent.key.agent_id))

    def set_available(self, key: AgentKey, *, available: bool, away: bool = False) -> Agent | None:
        """Set whether an agent takes jobs; returns the agent if that has changed."""
        agent = self.registry.get(key)
        if agent is None:
            return None
        if agent.draining is not available:
            if agent.away and not away:  # the agent's own announcement outweighs the broker's
                self.registry.mark(agent, draining=agent.draining)
            return None
        self.registry.mark(agent, draining=not available, away=away)
        self._count_agents(agent.hello.colo)
        event = (
            "agent_available"
            if available
            else "agent_missing_at_broker"
            if away
            else "agent_draining"
        )
        self._log.info(event, agent=key.agent_id, colo=agent.hello.colo)
        return agent

    def drain(self, names: frozenset[AgentName]) -> list[Agent]:
        """See `Registry.drain`. Returns the attached agents that take jobs again."""
        changed = self.registry.drain(names)
        for agent in changed:
            event = "agent_drained" if agent.drained else "agent_undrained"
            self._log.info(event, agent=agent.key.agent_id, colo=agent.hello.colo)
        for colo in {agent.hello.colo for agent in changed}:
            self._count_agents(colo)
        return [agent for agent in changed if agent.takes_jobs]

    def set_families(self, agent: Agent, families: frozenset[Family]) -> bool:
        """Set the address families that an agent can send; returns whether it gained one."""
        before = agent.hello.families
        if families == before:
            return False
        self.registry.set_families(agent, families)
        self.on_changed((agent.hello.colo, agent.key.agent_id))
        self._log.info(
            "agent_families_changed",
            agent=agent.key.agent_id,
            colo=agent.hello.colo,
            families=[family.name.lower() for family in sorted(families)],
        )
        return bool(families - before)

    def _count_agents(self, colo: ColoName) -> None:
        agents = self.registry.agents(colo)
        up = sum(agent.takes_jobs for agent in agents)
        self._metrics.agents.labels(colo=colo, state="up").set(up)
        self._metrics.agents.labels(colo=colo, state="draining").set(len(agents) - up)
