"""What the machine of a job wants to be sent."""

import msgspec
from colotrace_proto.messages import Job, JobId

from colotrace_coordinator.fleet.agents import AgentKey


class Offer(msgspec.Struct, frozen=True):
    """Offer the job to the agent; if `shared`, any agent of the colo may take it instead."""

    agent: AgentKey
    job: Job
    shared: bool


class CancelJob(msgspec.Struct, frozen=True):
    """Cancel the job at the agent."""

    agent: AgentKey
    job_id: JobId


class Resync(msgspec.Struct, frozen=True):
    """Frames are missing: end the agent's stream, so that it attaches again and resumes."""

    agent: AgentKey
    detail: str


class Blame(msgspec.Struct, frozen=True):
    """Remember that trouble of the agent; the words say nothing of the job."""

    agent: AgentKey
    trouble: str


Command = Offer | CancelJob | Resync | Blame
