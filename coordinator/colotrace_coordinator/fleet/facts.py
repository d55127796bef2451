"""What is known of an agent, for people.

The coordinator that it is attached to keeps this in the database, so that every coordinator and
command can show it.
"""

from dataclasses import dataclass

from colotrace_proto.messages import AgentId, ColoName, Family

from colotrace_coordinator.model import Trouble

from .agents import AgentName
from .registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """An agent and what it tells of itself. `attached_since` is in Unix seconds. What the process
    uses is None until it has told it; `cpu_millis` are thousandths of a CPU core."""

    colo: ColoName
    agent_id: AgentId
    host: str
    version: str
    families: frozenset[Family]
    attached_since: float
    cpu_millis: int | None = None
    memory_bytes: int | None = None


def facts_of(registry: Registry, name: AgentName) -> AgentFacts | None:
    """The facts of an attached agent; None if it is not attached."""
    agent = registry.named(name)
    if agent is None:
        return None
    hello, usage = agent.hello, agent.usage
    return AgentFacts(
        colo=hello.colo,
        agent_id=hello.agent_id,
        host=hello.host,
        version=hello.software_version,
        families=hello.families,
        attached_since=agent.attached_since,
        cpu_millis=usage.cpu_millis if usage else None,
        memory_bytes=usage.memory_bytes if usage else None,
    )


def trouble_of(registry: Registry, name: AgentName) -> Trouble | None:
    """The last trouble of an agent, attached or not; None if there was none since the start."""
    return registry.troubles.last(*name)
