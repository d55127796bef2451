"""How long an attempt may go without a message of its agent, and what its silence means.

Pure functions of an attempt. Their limits are in `deadlines`.
"""

from colotrace_proto.deadlines import ACCEPT_S, BACKOFF_S, MAX_BACKOFF_S, RECONNECT_S, SILENCE_S
from colotrace_proto.messages import ColoName

from colotrace_coordinator.fleet.agents import AgentKey

from . import faults
from .attempt import Attempt
from .faults import Fault


def due(attempt: Attempt) -> float:
    """When the attempt is given up unless its agent sends something."""
    offered = attempt.accepted_at is None
    if offered and not attempt.extended_s:
        return attempt.offered_at + ACCEPT_S
    if attempt.down_since is not None:
        return attempt.down_since + RECONNECT_S
    silent_at = max(attempt.offered_at, attempt.heard_at) + SILENCE_S
    # An agent that sends heartbeats, but no answer to the offer, is alive and slow.
    return min(silent_at, attempt.offered_at + attempt.extended_s) if offered else silent_at


def overdue(attempt: Attempt, now: float, *, colo: ColoName, blocked: str) -> Fault:
    """Why an attempt is given up once it is `due`. `blocked`: why no agent can be offered a job."""
    name, waited_s = attempt.agent.agent_id, round(now - attempt.offered_at, 1)
    down = attempt.down_since is not None
    if attempt.accepted_at is not None:
        return faults.lost(name) if down else faults.silent(name, SILENCE_S)
    if blocked:
        return faults.blocked(colo, blocked)
    if attempt.shared:
        return faults.untaken(colo, waited_s)
    if attempt.extended_s and down:
        return faults.lost(name)
    return faults.unanswered(name, waited_s)


class BackOff:
    """Busy agents of one job: when each is asked again. The pauses grow exponentially."""

    def __init__(self) -> None:
        # When to ask again, and the pause after that.
        self._busy: dict[AgentKey, tuple[float, float]] = {}

    def __bool__(self) -> bool:
        """Whether an agent was busy."""
        return bool(self._busy)

    def refused(self, agent: AgentKey, now: float) -> None:
        """The agent was busy."""
        pause_s = self._busy.get(agent, (0.0, BACKOFF_S))[1]
        self._busy[agent] = (now + pause_s, min(2 * pause_s, MAX_BACKOFF_S))

    def resting(self, now: float) -> set[AgentKey]:
        """The agents that are not to be asked now."""
        return {agent for agent, (retry_at, _) in self._busy.items() if now < retry_at}

    def keep_only(self, agents: set[AgentKey]) -> None:
        """Drop the agents that can no longer take the job."""
        self._busy = {agent: self._busy[agent] for agent in agents}

    def retry_at(self) -> float:
        """When the first of them is asked again."""
        return min(retry_at for retry_at, _ in self._busy.values())
