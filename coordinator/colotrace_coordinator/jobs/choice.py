"""The choice among a colo's agents."""

from collections.abc import Container, Iterable, Sequence

from colotrace_coordinator.fleet.agents import AgentKey, Candidate

from . import faults
from .faults import Fault
from .task import Task


def least_loaded(
    agents: Iterable[Candidate], *, excluding: Container[AgentKey] = ()
) -> Candidate | None:
    """The agent with the fewest running jobs; of equals the one listed first."""
    return min(
        (agent for agent in agents if agent.key not in excluding),
        key=lambda agent: agent.running,
        default=None,
    )


def able(agents: Iterable[Candidate], task: Task) -> list[Candidate]:
    """Those that could take the task, were they not busy."""
    return [
        agent
        for agent in agents
        if not agent.draining
        and task.options.packet_type in agent.packet_types
        and (agent.families if task.family is None else task.family in agent.families)
    ]


def why_none(agents: Sequence[Candidate], task: Task) -> Fault:
    """Why `able` finds none."""
    if not agents:
        return faults.no_agent(task.colo)
    awake = [agent for agent in agents if not agent.draining]
    if not awake:
        away = sum(agent.away for agent in agents)
        return faults.all_draining(task.colo, stopping=len(agents) - away, away=away)
    knowing = [agent for agent in awake if task.options.packet_type in agent.packet_types]
    if not knowing:
        return faults.no_packet_type(task.colo, task.options.packet_type)
    return faults.no_family(task.colo, task.family)
