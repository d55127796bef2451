"""Agents as the fan-out sees them: nothing of how they are reached."""

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
    away: bool = False
    """It is draining because the broker has lost it, or never had it: not by its own word."""
