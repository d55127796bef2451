"""What a job's machine wants to be sent."""

from dataclasses import dataclass

from colotrace_proto.messages import Job, JobId

from colotrace_coordinator.fleet.agents import AgentKey


@dataclass(frozen=True, slots=True)
class Offer:
    """Ask the agent to run the job; or, if `anyone` may, leave it to the colo's agents which."""

    agent: AgentKey
    job: Job
    anyone: bool


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Take the job back from the agent."""

    agent: AgentKey
    job_id: JobId


@dataclass(frozen=True, slots=True)
class Resync:
    """Frames are missing: end the agent's stream, so that it attaches again and resumes."""

    agent: AgentKey
    detail: str


Command = Offer | CancelJob | Resync
