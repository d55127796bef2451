"""The index of live attempts: which job a job id belongs to, and which jobs an agent has."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from colotrace_proto.messages import JobId

from colotrace_coordinator.fleet.agents import AgentKey

J = TypeVar("J")


class LiveAttempts(Generic[J]):
    """Live attempts by job id and by agent, each with the job (`J`) that it is an attempt at.

    A job's machine enters its attempt when it offers the job, moves it when another agent takes the
    job, and removes it when the attempt ends. Nobody else writes here, so there is nothing to
    reconcile. Every operation is O(1), but `of_agent`.
    """

    def __init__(self) -> None:
        self._jobs: dict[JobId, J] = {}
        self._by_agent: dict[AgentKey, dict[JobId, J]] = {}

    def __len__(self) -> int:
        """Live attempts."""
        return len(self._jobs)

    def add(self, job_id: JobId, agent: AgentKey, job: J) -> None:
        """The job was offered to the agent."""
        self._jobs[job_id] = job
        self._by_agent.setdefault(agent, {})[job_id] = job

    def move(self, job_id: JobId, agent: AgentKey, to: AgentKey) -> None:
        """Another agent has taken the job."""
        job = self._jobs[job_id]
        self.remove(job_id, agent)
        self.add(job_id, to, job)

    def remove(self, job_id: JobId, agent: AgentKey) -> None:
        """The agent no longer has the job."""
        del self._jobs[job_id]
        jobs = self._by_agent[agent]
        del jobs[job_id]
        if not jobs:
            del self._by_agent[agent]

    def get(self, job_id: JobId) -> J | None:
        """The job with a live attempt of that id."""
        return self._jobs.get(job_id)

    def of_agent(self, agent: AgentKey) -> Sequence[J]:
        """The agent's jobs, in the order in which it was offered them."""
        return tuple(self._by_agent.get(agent, {}).values())

    def load(self, agent: AgentKey) -> int:
        """How many jobs the agent has."""
        return len(self._by_agent.get(agent, ()))
