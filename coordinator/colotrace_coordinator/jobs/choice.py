"""The choice among a colo's agents."""

from collections.abc import Callable, Container, Iterable, Sequence

from colotrace_proto.messages import FAMILY_SINCE

from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.attached import Agent

from . import faults
from .faults import Fault
from .task import Task


def least_loaded(
    agents: Iterable[Agent],
    load: Callable[[AgentKey], int],
    *,
    excluding: Container[AgentKey] = (),
) -> Agent | None:
    """The agent with the fewest jobs, by `load`; among equals the one listed first."""
    chosen, least = None, 0
    for agent in agents:
        if agent.key in excluding:
            continue
        jobs = load(agent.key)
        if not jobs:
            return agent
        if chosen is None or jobs < least:
            chosen, least = agent, jobs
    return chosen


def able(
    agents: Iterable[Agent], task: Task, *, excluding: Container[AgentKey] = ()
) -> list[Agent]:
    """The agents that could take the task if they were not busy."""
    packet_type, family = task.options.packet_type, task.family
    return [
        agent
        for agent in agents
        if agent.takes_jobs
        and packet_type in agent.hello.packet_types
        and (agent.hello.families if family is None else family in agent.hello.families)
        and understands(agent, task)
        and agent.key not in excluding
    ]


def understands(agent: Agent, task: Task) -> bool:
    """Whether the agent does what the task's options say. One of release 0.2 ignores the family of
    a job; that is no matter if it has no other."""
    family, hello = task.options.family, agent.hello
    return family is None or hello.protocol_version >= FAMILY_SINCE or hello.families == {family}


def why_none(agents: Sequence[Agent], task: Task) -> Fault:
    """Why `able` finds no agent, though none was excluded."""
    if not agents:
        return faults.no_agent(task.colo)
    awake = [agent for agent in agents if agent.takes_jobs]
    if not awake:
        return faults.all_draining(
            task.colo,
            drained=sum(agent.drained for agent in agents),
            away=sum(agent.away and not agent.drained for agent in agents),
            of=len(agents),
        )
    packet_type = task.options.packet_type
    if not any(packet_type in agent.hello.packet_types for agent in awake):
        return faults.no_packet_type(task.colo, packet_type)
    if not any(understands(agent, task) for agent in awake):
        return faults.no_choice_of_family(task.colo)
    return faults.no_family(task.colo, task.family)


def absent(agents: Sequence[Agent]) -> bool:
    """Whether the colo has no agent, or none that takes jobs while the broker lacks some."""
    return not agents or (
        not any(agent.takes_jobs for agent in agents) and any(agent.away for agent in agents)
    )
