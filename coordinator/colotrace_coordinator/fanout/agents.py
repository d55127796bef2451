"""Agents as the fan-out sees them, and the choice among them."""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from colotrace_proto.messages import AgentId, Family, PacketType


@dataclass(frozen=True, slots=True)
class AgentKey:
    """One process of one agent: what comes after a restart is somebody else."""

    agent_id: AgentId
    boot_id: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attached agent of the job's colo. `heard_at` is in seconds, on the clock of `now`."""

    key: AgentKey
    families: frozenset[Family]
    packet_types: frozenset[PacketType]
    running: int
    draining: bool
    heard_at: float


def least_loaded(
    agents: Iterable[Candidate], *, excluding: Container[AgentKey] = ()
) -> Candidate | None:
    """The agent with the fewest running jobs; of equals the one listed first."""
    return min(
        (agent for agent in agents if agent.key not in excluding),
        key=lambda agent: agent.running,
        default=None,
    )
