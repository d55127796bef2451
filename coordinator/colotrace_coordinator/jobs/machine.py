"""The state machine of one job: which agent has it, and when it moves to another.

    SEEKING ── place ──> OFFERED ── accepted ──> RUNNING ── last frame ──> ENDED
       ^                    │                       │
       └──── refused, no answer, lost, silent ──────┘
       └──> WAITING (for a busy agent, or for the colo's first agent) ──> SEEKING

While it seeks, `place` gives it an agent; the job is then offered under a new job id. An attempt
that fails makes the machine seek again, without the agents that were tried, until the target was
traced, no agent is left, or the deadline has come. Agents that were busy are asked again after a
back-off.

A broken stream is not yet a lost agent: within `RECONNECT_S` it may attach again and resume, since
frames are numbered, and kept until they are acknowledged.

The machine reads no clock and sends nothing. The caller reports events with their time, calls
`place` while the machine seeks, sends `take_commands()`, and calls `expire` at `next_deadline()`.
`now` is in seconds on a monotonic clock that stands still while the caller itself was held up: an
agent is not silent because the caller did not read. Only the deadline is real time, so `held_up`
moves it forward.
"""

import enum
from collections.abc import Callable, Container, Sequence

from colotrace_proto.deadlines import (
    BROKER_LOST_ACCEPT_S,
    LEAST_TRACE_S,
    SOLE_ACCEPT_S,
    agent_time_ms,
    too_late,
)
from colotrace_proto.messages import AgentId, Frame, JobId, Owner, RefusalReason, Refused

from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.attached import Agent

from . import faults, patience
from .attempt import Attempt, Taken
from .attempts import Attempts
from .choice import able, absent, least_loaded, understands, why_none
from .commands import Blame, CancelJob, Command, Offer, Resync
from .faults import Fault, Weight
from .index import LiveAttempts
from .patience import BackOff
from .task import JobResult, Task

READ_S = 0.3
"""What an agent has sent is read within this time, through gRPC's threads and queues."""
MAX_LOST = 3
"""After this many lost agents, a job is not offered again: it may be what breaks them."""
MAX_GAPS = 3
"""Gaps in an attempt's frames before it is given up."""


class State(enum.Enum):
    """Where a job stands; see the module."""

    SEEKING = enum.auto()
    WAITING = enum.auto()
    OFFERED = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()


class JobMachine:
    """The machine of one job; see the module. It enters its attempts in `index`."""

    def __init__(
        self,
        task: Task,
        *,
        deadline: float,
        new_job_id: Callable[[], JobId],
        index: LiveAttempts["JobMachine"],
        owner: Owner | None = None,
    ) -> None:
        """`owner`: the job's owner, as agents are told it."""
        self.task = task
        self.state = State.SEEKING
        self.deadline = deadline
        self.offers = 0
        self.delayed_s = 0.0
        """How long this coordinator kept the job waiting: for its turn, and by hold-ups."""
        self.result: JobResult | None = None
        self._new_job_id = new_job_id
        self._index = index
        self._owner = owner
        self._attempts: Attempts[JobMachine] = Attempts(index)
        self._busy = BackOff()
        # Until when the colo's first agent is awaited; None if it is not.
        self._wait_until: float | None = None
        self._commands: list[Command] = []

    @property
    def live(self) -> Attempt | None:
        """The attempt that is offered or running."""
        return self._attempts.live

    @property
    def sent(self) -> int | None:
        """Packets that all agents together have sent for the job; None if that is not certain."""
        return self._attempts.sent

    def take_commands(self) -> list[Command]:
        """The commands that are to be sent, in order; each is returned once."""
        commands, self._commands = self._commands, []
        return commands

    def next_deadline(self) -> float | None:
        """When `expire` is to be called; None once the job has ended."""
        if self.state is State.ENDED:
            return None
        if self.live is not None:
            return min(self.deadline, patience.due(self.live))
        if self.state is State.WAITING:
            return min(self.deadline, self._seek_at())
        return self.deadline

    def held_up(self, now: float, *, by_s: float) -> None:
        """The caller's clock has fallen behind real time by `by_s`: move the deadline forward by as
        much, but leave `READ_S` to read what the agent has sent meanwhile."""
        self.deadline = min(self.deadline, max(self.deadline - by_s, now + READ_S))
        self.delayed_s += by_s

    def place(
        self,
        now: float,
        agents: Sequence[Agent],
        *,
        blocked: str = "",
        wait_until: float = 0.0,
    ) -> None:
        """While seeking: offer the job to one of the colo's agents, wait, or end.

        `blocked`: why no agent can be offered a job. Until `wait_until` the job waits for the
        colo's first agent, or its first that takes jobs if the broker has not announced all yet.
        """
        if self.state is not State.SEEKING:
            return
        self._wait_until = None
        wait_until = min(wait_until, self.deadline - LEAST_TRACE_S)
        if now < wait_until and not self._attempts.faults and (blocked or absent(agents)):
            self._wait_until, self.state = wait_until, State.WAITING
        elif blocked:
            self._end_failed(now, faults.blocked(self.task.colo, blocked))
        elif not (eligible := able(agents, self.task, excluding=self._attempts.tried)):
            self._end(
                now,
                self._attempts.worst() if self._attempts.faults else why_none(agents, self.task),
            )
        elif too_late(now, self.deadline):
            self._end_failed(now, self._no_agent_in_time())
        elif (chosen := self._least_loaded(now, eligible)) is None:
            self._busy.keep_only({agent.key for agent in eligible})
            self.state = State.WAITING
        else:
            # A shared offer may reach any agent of the colo.
            alike = all(understands(agent, self.task) and not agent.drained for agent in agents)
            shared = self._attempts.fresh and len(eligible) > 1 and alike
            self._offer(now, chosen.key, shared=shared)

    def give_up(self, now: float, fault: Fault) -> None:
        """End the job before it was offered to anybody."""
        self._end(now, fault)

    def postpone(self, now: float) -> None:
        """Take the job back from its agent, which has not probed yet: it is to start later."""
        self._cancel_attempt()
        attempt = self._attempts.close(now)
        if attempt is not None:
            self._attempts.tried.discard(attempt.agent)
            self._attempts.forget(attempt)
            self.offers -= 1
            self.state = State.SEEKING

    def agent_available(self) -> None:
        """An agent of the colo can be offered jobs that could not before: seek if the job waits."""
        if self.state is State.WAITING:
            self.state = State.SEEKING

    def published(self) -> None:
        """The offer was published to the colo: no agent counts as tried until one answers."""
        self._attempts.published()

    def accepted(self, now: float, agent: AgentKey) -> None:
        """The agent runs the live attempt; of a shared offer, it may be any agent of the colo."""
        if self.live is not None and self.state is State.OFFERED:
            self._attempts.assign(agent)
            self._run(now, self.live)

    def refused(self, now: float, agent: AgentKey, refusal: Refused) -> None:
        """The agent does not run the live attempt; see `accepted`."""
        attempt = self.live
        if attempt is None:
            return
        self._attempts.assign(agent)
        attempt.refused = True
        fault = faults.refused(agent.agent_id, refusal)
        busy = refusal.reason is RefusalReason.BUSY
        if busy:
            self._busy.refused(agent, now)
            self._attempts.forget(attempt)
        self._fail(now, fault, again=busy)

    def frame(self, now: float, frame: Frame) -> int:
        """Take a frame of the live attempt; returns the sequence number to acknowledge."""
        attempt = self.live
        if attempt is None:
            return frame.sequence
        if self.state is State.OFFERED:
            self._attempts.assign(attempt.agent)
            self._run(now, attempt)
        match attempt.take(frame, now):
            case Taken.NEW if attempt.outcome is not None:
                self._outcome(now, attempt)
            case Taken.GAP if attempt.gaps < MAX_GAPS:
                expected = attempt.last_sequence + 1
                words = f"job {attempt.job_id}: frame {frame.sequence} came, not {expected}"
                self._commands.append(Resync(attempt.agent, words))
            case Taken.GAP:
                self._give_up(now, "frames of its answer are missing")
            case Taken.EXCESS:
                self._give_up(now, "it tells of probes that the job does not have")
            case _:
                pass
        return attempt.last_sequence

    def exceeded(self, now: float) -> None:
        """The live attempt's agent sends more than the job can yield."""
        self._give_up(now, "it sends more than the job can yield")

    def stream_lost(self, now: float) -> None:
        """The stream of the live attempt's agent has ended; the agent may attach again."""
        attempt = self._attempts.held
        if attempt is not None and attempt.down_since is None:
            attempt.down_since = now

    def stream_back(self, now: float, held: Container[JobId], *, offers_lost: bool = True) -> None:
        """The process of the live attempt's agent has attached again and holds these jobs.

        `offers_lost`: earlier offers can no longer reach it.
        """
        attempt = self._attempts.held
        if attempt is None:
            return
        attempt.down_since = None
        attempt.heard_at = now
        if attempt.job_id in held:
            if self.state is State.OFFERED:
                self._run(now, attempt)
        elif self.state is not State.OFFERED:
            self._fail(now, faults.forgotten(attempt.agent.agent_id))
        elif offers_lost:
            self.offer_lost(now)

    def offer_lost(self, now: float) -> None:
        """The offer cannot have reached the live attempt's agent, if it has not answered. The agent
        may be asked again, since the transport failed."""
        attempt = self._attempts.held
        if attempt is not None and self.state is State.OFFERED:
            self._fail(now, faults.forgotten(attempt.agent.agent_id), again=True)

    def agent_renamed(self, agent: AgentKey) -> None:
        """The process that has the live attempt is called otherwise from now on."""
        if self._attempts.held is not None:
            self._attempts.assign(agent)

    def agent_replaced(self, now: float) -> None:
        """Another process has replaced that of the live attempt's agent."""
        self._agent_gone(now, faults.restarted)

    def agent_revoked(self, now: float) -> None:
        """The live attempt's agent was revoked, and will not come back."""
        self._agent_gone(now, faults.revoked)

    def _agent_gone(self, now: float, fault: Callable[[AgentId], Fault]) -> None:
        attempt = self._attempts.held
        if attempt is not None:
            attempt.down_since = now
            self._fail(now, fault(attempt.agent.agent_id))

    def cancel(self, now: float) -> None:
        """The last caller has left."""
        if self.state is not State.ENDED:
            self._cancel_attempt()
            self._attempts.close(now)
            self.state = State.ENDED

    def withdrawn(self, fault: Fault) -> JobResult:
        """The result if the job ended now, with this fault; the job goes on."""
        return self._attempts.withdrawn(fault)

    def so_far(self, now: float) -> JobResult:
        """What there is of a result; see `Attempts.so_far`."""
        return self._attempts.so_far(now)

    def expire(self, now: float, agents: Sequence[Agent], *, blocked: str = "") -> None:
        """Do what is due; `agents` and `blocked` as for `place`."""
        if self.state is State.ENDED:
            return
        attempt = self.live
        if now >= self.deadline:
            self._cancel_attempt()
            if attempt is not None:
                agent = attempt.agent.agent_id
                self._end(now, faults.out_of_time(agent, delayed_s=self.delayed_s))
            else:
                self._end_failed(now, self._no_agent_in_time())
        elif attempt is not None:
            self._expire_attempt(now, attempt, agents, blocked)
        elif self.state is State.WAITING and now >= self._seek_at():
            self.state = State.SEEKING

    def _no_agent_in_time(self) -> Fault:
        """The job was with no agent when its time ran out."""
        own = self.delayed_s >= faults.DELAYED_S and not self._busy
        return (faults.overloaded if own else faults.busy)(self.task.colo)

    def _seek_at(self) -> float:
        """While waiting: when to seek again."""
        return self._busy.retry_at() if self._wait_until is None else self._wait_until

    def _expire_attempt(
        self, now: float, attempt: Attempt, agents: Sequence[Agent], blocked: str
    ) -> None:
        heard = [agent.heard_at for agent in agents if agent.key == attempt.agent]
        attempt.heard_at = max([attempt.heard_at, *heard])
        if now < patience.due(attempt):
            return
        if self.state is State.OFFERED and not attempt.extended_s:
            attempt.extended_s = self._extension_s(now, attempt, agents, blocked)
            if attempt.extended_s:
                return
        self._cancel_attempt()
        self._fail(now, patience.overdue(attempt, now, colo=self.task.colo, blocked=blocked))

    def _extension_s(
        self, now: float, attempt: Attempt, agents: Sequence[Agent], blocked: str
    ) -> float:
        """How long the offer may stay unanswered in all, since no other agent can take the job; 0
        if one can."""
        if blocked:
            return BROKER_LOST_ACCEPT_S
        if attempt.shared:
            return 0.0
        others = able(agents, self.task, excluding=self._attempts.tried)
        return SOLE_ACCEPT_S if self._least_loaded(now, others) is None else 0.0

    def _least_loaded(self, now: float, agents: Sequence[Agent]) -> Agent | None:
        return least_loaded(agents, self._index.load, excluding=self._busy.resting(now))

    def _offer(self, now: float, agent: AgentKey, *, shared: bool) -> None:
        remaining_ms = agent_time_ms(now, self.deadline)
        job = self.task.job(self._new_job_id(), remaining_ms=remaining_ms, owner=self._owner)
        self._attempts.offer(self, agent, job.job_id, self.task, now=now)
        self.offers += 1
        self.state = State.OFFERED
        self._commands.append(Offer(agent, job, shared))

    def _run(self, now: float, attempt: Attempt) -> None:
        attempt.accepted_at = attempt.heard_at = now
        self.state = State.RUNNING

    def _outcome(self, now: float, attempt: Attempt) -> None:
        outcome = attempt.outcome
        agent, fault = attempt.agent.agent_id, None
        if outcome is not None:
            fault = faults.ended(agent, outcome, delayed_s=self.delayed_s)
        if fault is None or fault.weight is Weight.FINAL:
            self._end(now, fault)
        else:
            self._fail(now, fault)

    def _give_up(self, now: float, what: str) -> None:
        """The live attempt's agent violates the protocol."""
        if self.live is not None:
            self._cancel_attempt()
            self._fail(now, faults.misbehaved(self.live.agent.agent_id, what))

    def _fail(self, now: float, fault: Fault, *, again: bool = False) -> None:
        """The live attempt has failed; `again`: its agent may be offered the job again."""
        self._blame(fault)
        self._attempts.fail(now, fault, again=again)
        if self._attempts.lost >= MAX_LOST or too_late(now, self.deadline):
            self._end(now, self._attempts.worst())
        else:
            self.state = State.SEEKING

    def _cancel_attempt(self) -> None:
        """Cancel the job at the live attempt's agent, unless its stream is down."""
        attempt = self.live
        if attempt is not None and attempt.down_since is None:
            self._commands.append(CancelJob(attempt.agent, attempt.job_id))

    def _blame(self, fault: Fault | None) -> None:
        attempt = self._attempts.held
        if attempt is not None and fault is not None and fault.trouble:
            self._commands.append(Blame(attempt.agent, fault.trouble))

    def _end(self, now: float, fault: Fault | None) -> None:
        self.state = State.ENDED
        self._blame(fault)
        self.result = self._attempts.result(now, fault)

    def _end_failed(self, now: float, fault: Fault) -> None:
        """End with the worst fault so far, this one included."""
        self._attempts.faults.append(fault)
        self._end(now, self._attempts.worst())
