"""All attempts at one job: the live one, the agents that were tried, and the faults so far."""

from collections import Counter
from typing import Generic

from colotrace_proto.messages import JobId
from msgspec.structs import replace

from colotrace_coordinator.fleet.agents import AgentKey

from .attempt import Attempt, furthest
from .faults import Fault, Weight
from .index import J, LiveAttempts
from .sent_counts import SentCounts
from .task import JobResult, Task


class Attempts(Generic[J]):
    """The attempts at one job. Only this class enters the live one in `index`."""

    def __init__(self, index: LiveAttempts[J]) -> None:
        self.live: Attempt | None = None
        self.tried: set[AgentKey] = set()
        self.faults: list[Fault] = []
        self.lost = 0
        """Agents that were lost while they had the job."""
        self._all: list[Attempt] = []
        self._index = index

    @property
    def held(self) -> Attempt | None:
        """The live attempt if it is one certain agent's."""
        return None if self.live is None or self.live.shared else self.live

    @property
    def fresh(self) -> bool:
        """Whether no agent was tried so far."""
        return not self._all and not self.faults

    @property
    def sent(self) -> int | None:
        """Packets that all agents together have sent; None if one has not reported all of its."""
        total = 0
        for attempt in self._all:
            if (sent := attempt.all_sent) is None:
                return None
            total += sent
        return total

    def offer(self, job: J, agent: AgentKey, job_id: JobId, task: Task, *, now: float) -> None:
        """Begin an attempt at `job`: it is offered to the agent."""
        self.live = Attempt(
            agent=agent,
            job_id=job_id,
            offered_at=now,
            most_replies=task.most_replies,
            max_ttl=task.options.max_ttl,
            sent_counts=SentCounts(wait_s=task.options.wait_ms / 1_000),
        )
        self._all.append(self.live)
        self._index.add(job_id, agent, job)
        self.tried.add(agent)

    def published(self) -> None:
        """The offer was published to the colo: no agent counts as tried until one answers."""
        if self.live is not None:
            self.live.shared = True
            self.tried.discard(self.live.agent)

    def assign(self, agent: AgentKey) -> None:
        """The agent has answered the offer: the live attempt is its own from now on."""
        attempt = self.live
        if attempt is None:
            return
        if attempt.agent != agent:
            self._index.move(attempt.job_id, attempt.agent, agent)
        attempt.agent, attempt.shared = agent, False
        self.tried.add(agent)

    def close(self, now: float) -> Attempt | None:
        """End the live attempt, and return it."""
        attempt, self.live = self.live, None
        if attempt is not None:
            self._index.remove(attempt.job_id, attempt.agent)
            attempt.ended_at = now
        return attempt

    def fail(self, now: float, fault: Fault, *, again: bool) -> None:
        """End the live attempt with a fault; `again`: its agent may be offered the job again."""
        attempt = self.close(now)
        if attempt is not None and again:
            self.tried.discard(attempt.agent)
        self.faults.append(fault)
        if fault.weight is Weight.LOST and not (attempt and attempt.shared):
            self.lost += 1

    def forget(self, attempt: Attempt) -> None:
        """The attempt has no part in the result: its agent was busy."""
        self._all.remove(attempt)

    def worst(self) -> Fault:
        """The fault that the job is answered with; among equals the latest."""
        return max(reversed(self.faults), key=lambda fault: fault.weight)

    def result(self, now: float, fault: Fault | None) -> JobResult:
        """End the live attempt; the result is its own, or the furthest attempt's after a fault."""
        last = self.close(now)
        best = last if fault is None else furthest(self._all)
        return JobResult.of(best, fault, earlier=self.faults)

    def withdrawn(self, fault: Fault) -> JobResult:
        """The result if the job ended now, with this fault; the attempts go on."""
        return JobResult.of(furthest(self._all), fault, earlier=self.faults)

    def so_far(self, now: float) -> JobResult:
        """What there is of a result. Probes count as sent once they are answered, or can no longer
        be answered in time."""
        best = furthest(self._all)
        result = JobResult.of(best, None, earlier=self.faults)
        if best is None:
            return result
        sent, answered = best.sent_counts.over(now), Counter(result.replies.ttl)
        ttls = range(1, max(len(sent), *answered, 0) + 1)
        return replace(
            result,
            sent=tuple(max(answered[ttl], 0, *sent[ttl - 1 : ttl]) for ttl in ttls),
        )
