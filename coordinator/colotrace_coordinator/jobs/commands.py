"""What the machine of a job wants to be sent."""

from dataclasses import dataclass

from colotrace_proto.messages import Job, JobId

from colotrace_coordinator.fleet.agents import AgentKey


@dataclass(frozen=True, slots=True)
class Offer:
    """Offer the job to the agent; if `shared`, any agent of the colo may take it instead."""

    agent: AgentKey
    job: Job
    shared: bool


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Cancel the job at the agent."""

    agent: AgentKey
    job_id: JobId


@dataclass(frozen=True, slots=True)
class Resync:
    """Frames are missing: end the agent's stream, so that it attaches again and resumes."""

    agent: AgentKey
    detail: str


Command = Offer | CancelJob | Resync
