"""One target, one colo, one set of options: which agent has it, and when to give it to another.

Theory of operation. A machine is *seeking* until `place` hands it an agent; the job is then
*offered*, with a job id of its own, and *running* once the agent accepts. Whatever ends that
attempt but its success (a refusal, no answer, a lost or silent agent) makes the machine seek
again, excluding the agents already tried, until one has traced the target, none is left, or the
deadline has come: then it has *ended*, with what there is. Agents that are merely busy are asked
again after a pause (*waiting*).

A colo whose agents are still coming (after the coordinator's start) is waited for, too, until
`wait_until`.

A stream that drops is no lost agent yet: within `GRACE_S` it may come back and go on where it
was, since frames are numbered and kept until they are acknowledged.

The machine reads no clock and sends nothing. The caller tells it what happened and when, calls
`place` while it is seeking, sends `take_commands()`, and calls `expire` when `next_deadline()`
has come. `now` is in seconds on a clock that never goes back, and that stands still while the
caller itself was held up: nobody is silent because the caller did not read. The deadline alone is
a promise to whoever asked, so `held_up` brings it forward by that time.
"""

import enum
from collections.abc import Callable, Container, Sequence

from colotrace_proto.failures import UNTRACEABLE
from colotrace_proto.messages import (
    MAX_JOB_PROBES,
    MAX_REMAINING_MS,
    Frame,
    Job,
    JobId,
    PacketType,
    RefusalReason,
    Refused,
    Replies,
)

from colotrace_coordinator.deadlines import AGENT_MARGIN_S, LEAST_TRACE_S
from colotrace_coordinator.fleet.agents import AgentKey, Candidate
from colotrace_coordinator.model import Options

from . import faults
from .attempt import Attempt, Taken, furthest
from .choice import able, least_loaded, why_none
from .commands import CancelJob, Command, Offer, Resync
from .faults import Fault, Weight
from .task import Finished, Task

ACCEPT_S = 0.5
"""How long an offer may stay unanswered while another agent could have it."""
PATIENCE_S = 9.0
"""How long an offer may stay unanswered if no other agent could take the job, and this agent still
sends heartbeats."""
CUT_OFF_S = 1.5
"""How long it may stay unanswered after the broker was lost: the agent may have had it before, and
answers by its own stream."""
SILENCE_S = 3.0
"""How long nothing may come from an agent that has a job; it sends a heartbeat each second."""
GRACE_S = 2.0
"""How long a dropped stream may take to come back."""
BACKOFF_S = 0.1
MAX_BACKOFF_S = 1.0
MAX_LOST = 3
"""A job that has cost so many agents is not given to another: it may be what breaks them."""
MAX_GAPS = 3


class State(enum.Enum):
    """Where a job stands."""

    SEEKING = enum.auto()
    WAITING = enum.auto()
    OFFERED = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()


class JobMachine:
    """The machine of one job; see the module's theory of operation."""

    def __init__(
        self, task: Task, *, now: float, deadline: float, new_job_id: Callable[[], JobId]
    ) -> None:
        self.task = task
        self.state = State.SEEKING
        self.finished: Finished | None = None
        self._began_at = now
        self._deadline = deadline
        self._new_job_id = new_job_id
        self._attempt: Attempt | None = None
        self._attempts: list[Attempt] = []
        self._faults: list[Fault] = []
        self._lost = 0
        self._tried: set[AgentKey] = set()
        # Agents that were busy: when to ask again, and the pause after that.
        self._busy: dict[AgentKey, tuple[float, float]] = {}
        self._patience_s = 0.0
        # Until when the colo's first agent is waited for; None while that is not so.
        self._wait_until: float | None = None
        self._heard_at = now
        self._commands: list[Command] = []

    @property
    def live(self) -> Attempt | None:
        """The attempt that is offered or running."""
        return self._attempt

    @property
    def _held(self) -> Attempt | None:
        """The live attempt, where it is one agent's."""
        attempt = self._attempt
        return None if attempt is None or attempt.to_anyone else attempt

    def take_commands(self) -> list[Command]:
        """What is to be sent, in order, once."""
        commands, self._commands = self._commands, []
        return commands

    def next_deadline(self) -> float | None:
        """When `expire` wants to be called; None once the job has ended."""
        attempt = self._attempt
        if self.state is State.ENDED:
            return None
        if attempt is not None:
            return min(self._deadline, self._attempt_due(attempt))
        if self.state is State.WAITING:
            return min(self._deadline, self._ask_at())
        return self._deadline

    def held_up(self, now: float, *, by_s: float) -> None:
        """The caller's clock has fallen behind by so much: the deadline stays where it was in real
        time, but does not come before `now`."""
        self._deadline = max(self._deadline - by_s, now)

    def place(
        self,
        now: float,
        agents: Sequence[Candidate],
        *,
        cut_off: str = "",
        wait_until: float = 0.0,
    ) -> None:
        """While seeking: give the job to one of the colo's attached agents, wait, or end.

        `cut_off` is why none can be asked at all. Until `wait_until`, the job waits if the colo has
        no agent, or none that takes jobs while the broker has not announced all of them yet.
        """
        if self.state is not State.SEEKING:
            return None
        wait_until = min(wait_until, self._deadline - LEAST_TRACE_S)
        absent = not agents or (
            all(agent.draining for agent in agents) and any(agent.away for agent in agents)
        )
        if now < wait_until and (cut_off or absent) and not self._faults:
            self._wait_until, self.state = wait_until, State.WAITING
            return None
        self._wait_until = None
        if cut_off:
            self._faults.append(faults.cut_off(self.task.colo, cut_off))
            return self._end(now, self._worst())
        eligible = self._eligible(agents)
        if not eligible:
            return self._end(now, self._worst() if self._faults else why_none(agents, self.task))
        if self._deadline - now < LEAST_TRACE_S:
            return self._end(now, self._too_late())
        chosen = least_loaded(eligible, excluding=self._resting(now))
        if chosen is None:
            self._busy = {a.key: self._busy[a.key] for a in eligible}
            self.state = State.WAITING
            return None
        anyone = not self._attempts and not self._faults and len(eligible) > 1
        return self._offer(now, chosen.key, anyone=anyone)

    def agent_came(self) -> None:
        """An agent of the colo can be asked that could not before: worth asking while all others
        are busy, or none was there."""
        if self.state is State.WAITING:
            self.state = State.SEEKING

    def left_to_anyone(self) -> None:
        """It is left to the colo's agents who takes the live attempt: none of them has been tried
        until one answers."""
        if self._attempt is not None:
            self._attempt.to_anyone = True
            self._tried.discard(self._attempt.agent)

    def accepted(self, now: float, agent: AgentKey) -> None:
        """The agent runs the live attempt. It may be another than was asked, if the link lets
        the colo's agents decide among themselves."""
        attempt = self._attempt
        if attempt is None or self.state is not State.OFFERED:
            return
        self._taken_by(agent, attempt)
        self._run(now, attempt)

    def refused(self, now: float, agent: AgentKey, refusal: Refused) -> None:
        """The agent does not run the live attempt; see `accepted`."""
        attempt = self._attempt
        if attempt is None:
            return
        self._taken_by(agent, attempt)
        fault = faults.refused(agent.agent_id, refusal)
        if refusal.reason is RefusalReason.BUSY:
            pause = self._busy.get(agent, (0.0, BACKOFF_S))[1]
            self._busy[agent] = (now + pause, min(2 * pause, MAX_BACKOFF_S))
            self._attempts.remove(attempt)
            self._fail(now, fault, again=True)
        else:
            self._fail(now, fault)

    def frame(self, now: float, frame: Frame) -> int:
        """A frame of the live attempt; returns the sequence number to be acknowledged."""
        attempt = self._attempt
        if attempt is None:
            return frame.sequence
        if self.state is State.OFFERED:
            self._taken_by(attempt.agent, attempt)
            self._run(now, attempt)
        match attempt.take(frame):
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
        """The stream of the live attempt's agent has ended; it may come back."""
        attempt = self._held
        if attempt is not None and attempt.down_since is None:
            attempt.down_since = now

    def stream_back(self, now: float, held: Container[JobId], *, offers_lost: bool = True) -> None:
        """The same process of the live attempt's agent has attached again, with these jobs.

        `offers_lost` says that what was offered to it before cannot come any more.
        """
        attempt = self._held
        if attempt is None:
            return
        attempt.down_since = None
        self._heard_at = now
        if attempt.job_id in held:
            if self.state is State.OFFERED:
                self._run(now, attempt)
        elif self.state is not State.OFFERED:
            self._fail(now, faults.forgotten(attempt.agent.agent_id))
        elif offers_lost:
            self.offer_lost(now)

    def offer_lost(self, now: float) -> None:
        """What was offered to the live attempt's agent cannot have reached it, unless it has
        answered. That speaks against the way, not the agent."""
        attempt = self._held
        if attempt is not None and self.state is State.OFFERED:
            self._fail(now, faults.forgotten(attempt.agent.agent_id), again=True)

    def agent_gone(self, now: float) -> None:
        """The process of the live attempt's agent has been replaced by another."""
        attempt = self._held
        if attempt is not None:
            attempt.down_since = now
            self._fail(now, faults.restarted(attempt.agent.agent_id))

    def cancel(self, now: float) -> None:
        """Nobody wants the answer any more."""
        if self.state is not State.ENDED:
            self._take_back()
            self._close_attempt(now)
            self.state = State.ENDED

    def expire(self, now: float, agents: Sequence[Candidate], *, cut_off: str = "") -> None:
        """Do what is due; `agents` and `cut_off` as for `place`."""
        if self.state is State.ENDED:
            return
        attempt = self._attempt
        if now >= self._deadline:
            self._take_back()
            if attempt is not None:
                self._end(now, faults.out_of_time(attempt.agent.agent_id))
            else:
                self._end(now, self._too_late())
        elif attempt is not None:
            self._expire_attempt(now, attempt, agents, cut_off)
        elif self.state is State.WAITING and now >= self._ask_at():
            self.state = State.SEEKING

    def _ask_at(self) -> float:
        """While waiting: when to seek again."""
        if self._wait_until is not None:
            return self._wait_until
        return min(retry_at for retry_at, _ in self._busy.values())

    def _expire_attempt(
        self, now: float, attempt: Attempt, agents: Sequence[Candidate], cut_off: str
    ) -> None:
        heard = [a.heard_at for a in agents if a.key == attempt.agent]
        self._heard_at = max([self._heard_at, *heard])
        if now < self._attempt_due(attempt):
            return
        if self.state is State.OFFERED and not self._patience_s:
            self._patience_s = self._patience_for(now, attempt, agents, cut_off)
            if self._patience_s:
                return
        self._take_back()
        self._fail(now, self._overdue(now, attempt, cut_off))

    def _patience_for(
        self, now: float, attempt: Attempt, agents: Sequence[Candidate], cut_off: str
    ) -> float:
        """How long the offer may stay unanswered since no other agent can have the job; 0 if one
        can."""
        if cut_off:
            return CUT_OFF_S
        others = least_loaded(self._eligible(agents), excluding=self._resting(now))
        return PATIENCE_S if others is None and not attempt.to_anyone else 0.0

    def _overdue(self, now: float, attempt: Attempt, cut_off: str) -> Fault:
        """Why the live attempt is given up."""
        name, waited_s = attempt.agent.agent_id, round(now - attempt.offered_at, 1)
        down = attempt.down_since is not None
        if self.state is not State.OFFERED:
            return faults.lost(name) if down else faults.silent(name, SILENCE_S)
        if cut_off:
            return faults.cut_off(self.task.colo, cut_off)
        if attempt.to_anyone:
            return faults.untaken(self.task.colo, waited_s)
        if self._patience_s and down:
            return faults.lost(name)
        return faults.unanswered(name, waited_s)

    def _attempt_due(self, attempt: Attempt) -> float:
        if self.state is State.OFFERED and not self._patience_s:
            return attempt.offered_at + ACCEPT_S
        if attempt.down_since is not None:
            return attempt.down_since + GRACE_S
        if self.state is State.OFFERED:
            # An agent that still sends heartbeats is alive, but busy.
            latest = attempt.offered_at + self._patience_s
            return min(max(attempt.offered_at, self._heard_at) + SILENCE_S, latest)
        return self._heard_at + SILENCE_S

    def _offer(self, now: float, agent: AgentKey, *, anyone: bool) -> None:
        options = self.task.options
        job = Job(
            job_id=self._new_job_id(),
            target=self.task.target,
            packet_type=options.packet_type,
            max_ttl=options.max_ttl,
            packets_per_ttl=options.packets_per_ttl,
            wait_ms=options.wait_ms,
            port=options.port,
            flow=options.flow,
            remaining_ms=min(int((self._deadline - AGENT_MARGIN_S - now) * 1000), MAX_REMAINING_MS),
            multipath=options.multipath,
        )
        self._attempt = Attempt(
            agent=agent,
            job_id=job.job_id,
            offered_at=now,
            most_replies=_most_replies(options),
            max_ttl=options.max_ttl,
        )
        self._attempts.append(self._attempt)
        self._tried.add(agent)
        self._patience_s = 0.0
        self.state = State.OFFERED
        self._commands.append(Offer(agent, job, anyone))

    def _taken_by(self, agent: AgentKey, attempt: Attempt) -> None:
        """The agent answers for the attempt: from now on it is its own."""
        attempt.agent, attempt.to_anyone = agent, False
        self._tried.add(agent)

    def _run(self, now: float, attempt: Attempt) -> None:
        attempt.accepted_at = self._heard_at = now
        self.state = State.RUNNING

    def _outcome(self, now: float, attempt: Attempt) -> None:
        outcome = attempt.outcome
        fault = faults.ended(attempt.agent.agent_id, outcome) if outcome is not None else None
        if fault is None:
            self._end(now, None)
        elif fault.weight is Weight.FINAL:
            self._end(now, fault)
        else:
            self._fail(now, fault)

    def _give_up(self, now: float, what: str) -> None:
        """The live attempt's agent does not keep to the protocol."""
        if self._attempt is not None:
            self._take_back()
            self._fail(now, faults.misbehaved(self._attempt.agent.agent_id, what))

    def _fail(self, now: float, fault: Fault, *, again: bool = False) -> None:
        """The live attempt has come to nothing; `again` leaves its agent to be asked again."""
        attempt = self._close_attempt(now)
        if attempt is not None and again:
            self._tried.discard(attempt.agent)
        self._faults.append(fault)
        if fault.weight is Weight.LOST and not (attempt and attempt.to_anyone):
            self._lost += 1
        if self._lost >= MAX_LOST or self._deadline - now < LEAST_TRACE_S:
            self._end(now, self._worst())
        else:
            self.state = State.SEEKING

    def _take_back(self) -> None:
        """Tell the live attempt's agent, where it can be told, that the job is not wanted."""
        attempt = self._attempt
        if attempt is not None and attempt.down_since is None:
            self._commands.append(CancelJob(attempt.agent, attempt.job_id))

    def _close_attempt(self, now: float) -> Attempt | None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.ended_at = now
        return attempt

    def _end(self, now: float, fault: Fault | None) -> None:
        last = self._close_attempt(now)
        best = last if fault is None else furthest(self._attempts)
        lost = [f.words for f in self._faults if f.weight is Weight.LOST and f is not fault]
        # What a name leads to inside of a colo's network is not told to who may not trace it.
        hidden = fault is not None and fault.code == UNTRACEABLE
        self.state = State.ENDED
        self.finished = Finished(
            fault=fault,
            target_address=best.target_address if best and not hidden else b"",
            sent=best.sent if best else (),
            replies=best.replies if best else Replies(),
            duration_ns=best.duration_ns if best else 0,
            moved=tuple(lost),
            notices=best.outcome.notices if best and best.outcome else (),
            unplaced=best.outcome.unplaced if best and best.outcome else 0,
            links=best.outcome.links if best and best.outcome else (),
        )

    def _eligible(self, agents: Sequence[Candidate]) -> list[Candidate]:
        return [agent for agent in able(agents, self.task) if agent.key not in self._tried]

    def _resting(self, now: float) -> set[AgentKey]:
        return {key for key, (retry_at, _) in self._busy.items() if now < retry_at}

    def _worst(self) -> Fault:
        """The fault that stands for the job; of equals the latest."""
        return max(reversed(self._faults), key=lambda fault: fault.weight)

    def _too_late(self) -> Fault:
        self._faults.append(faults.busy(self.task.colo))
        return self._worst()


def _most_replies(options: Options) -> int:
    """How many probes an agent may send for a job."""
    if options.multipath:
        return MAX_JOB_PROBES
    # gre+icmp is two traces in one.
    traces = 2 if options.packet_type is PacketType.GRE_ICMP else 1
    return traces * options.max_ttl * options.packets_per_ttl
