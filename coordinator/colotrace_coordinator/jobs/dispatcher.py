"""Drives the machines of the running jobs: gives them agents and time, and sends their commands.

From an agent's message to the command that it causes, or the caller that it wakes, there is no task
and no queue. What is not urgent, or is due for thousands of jobs at once, takes its turn (`turns`).
"""

import asyncio
import itertools
import math
import secrets
import sys
from collections.abc import Iterator
from functools import partial

from colotrace_proto.addresses import address_text
from colotrace_proto.deadlines import GATHER_S, JOIN_DIFFERENCE_S, LEAST_TRACE_S, job_deadline
from colotrace_proto.messages import ColoName, JobId
from colotrace_proto.running import RunningClock, RunningTimer
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.fleet.attached import Agent
from colotrace_coordinator.fleet.link import Closing
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.shares import TokenBuckets
from colotrace_coordinator.turns import Turns

from . import faults
from .coalesce import Recent
from .commands import Blame, CancelJob, Command, Offer, Resync
from .fair import Origin
from .give_ups import GiveUps
from .hold_ups import HoldUps
from .index import LiveAttempts
from .machine import JobMachine, State
from .owners import owner_of
from .running import JobKey, LiveJob, Ticket
from .starts import Gate, Starts, Wish
from .target_rates import UNLIMITED, TargetLimits, TargetRates, target_of
from .timers import Timers
from .window import Window

TOGETHER = 10
"""Jobs of one request and colo that are offered together, even if only one offer may be made."""
MOST_RUNNING = 20_000
"""Bound of the jobs that run at once."""
LEFT_AFTER_S = 5.0
"""After a hold-up of this length agents may have left this coordinator; they are awaited again."""


class Dispatcher:
    """Begins, drives and ends jobs. Build it inside a running event loop."""

    def __init__(
        self,
        registry: Registry,
        *,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: RunningClock,
        turns: Turns,
        gather_s: float = GATHER_S,
        target_limits: TargetLimits = UNLIMITED,
        peers: Peers | None = None,
    ) -> None:
        self._registry = registry
        self._turns = turns
        self._metrics = metrics
        self._log = log.bind()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        # Random, so that ids differ from those of other coordinators.
        self._job_prefix = secrets.token_hex(8)
        self._job_numbers = itertools.count(1)
        self._gather_s = gather_s
        self._target_limits = target_limits
        self._gathered_at = clock.now() + gather_s
        self._hold_ups = HoldUps(clock, log, self._held_up)
        self._blocked = ""
        self._jobs: dict[ColoName, dict[JobMachine, LiveJob]] = {}
        self._recent: Recent[JobKey, LiveJob] = Recent()
        self.attempts: LiveAttempts[JobMachine] = LiveAttempts()
        coordinators = (lambda: peers.coordinators) if peers is not None else (lambda: 1)
        rates = TargetRates(target_limits, coordinators=coordinators)
        self._window = Window()
        self._starts: Starts[LiveJob] = Starts(
            rates=rates,
            slots=self._slots,
            may_offer=self._may_offer,
        )
        if peers is not None:
            peers.share("jobs", self._starts.counts)
            peers.share("packets", rates)
        self._timers = Timers(registry, clock=clock, turns=turns, expire=self._expire)
        self._give_ups = GiveUps(turns, self._give_up)
        self._give_up_logs: TokenBuckets[Gate] = TokenBuckets(rate=0.1, burst=3)
        self._starting = False
        self._start_timer: RunningTimer | None = None
        metrics.jobs_running.set_function(lambda: self._starts.running)
        metrics.offers_unanswered.set_function(lambda: self._window.unanswered)
        metrics.offers_window.set_function(lambda: self._window.size)
        metrics.work_waiting.set_function(lambda: len(turns))
        for gate in Gate:
            waiting = metrics.jobs_waiting.labels(waits_for=gate.value)
            waiting.set_function(partial(self._starts.waiting_for, gate))

    # Callers

    def begin(self, key: JobKey, origin: Origin, *, rows: int = 1, spent_s: float = 0.0) -> Ticket:
        """Begin a job, or join an identical job that has just begun.

        Its request, of `origin`, has `rows` rows, and has taken `spent_s` so far.
        """
        now = self._clock.now()
        deadline = job_deadline(now, spent_s=spent_s, rows=rows)
        # By the loop's clock, which goes on while this process is held up, unlike `now`: a request
        # later than the window gets a trace of its own.
        job = self._recent.find(key, self._loop.time())
        if job is None or job.machine.deadline > deadline + JOIN_DIFFERENCE_S:
            job = self._queue(key, origin, now, deadline)
        else:
            self._metrics.jobs_shared.inc()
        job.callers += 1
        return Ticket(job, partial(self._leave, job), self._clock.now)

    def _queue(self, key: JobKey, origin: Origin, now: float, deadline: float) -> LiveJob:
        machine = JobMachine(
            key.task,
            deadline=deadline,
            new_job_id=self._new_job_id,
            index=self.attempts,
            owner=owner_of(origin),
        )
        began = self._loop.time()
        job = LiveJob(key, origin, machine, self._loop.create_future(), began)
        self._jobs.setdefault(key.task.colo, {})[machine] = job
        self._recent.add(key, job, began)
        task = key.task
        self._starts.push(job, Wish(origin, task.colo, target_of(task.target), task.packets, now))
        self._hold_ups.begin(job)
        self._give_up_in_time(job, now)
        self._start_soon()
        return job

    def _new_job_id(self) -> JobId:
        return JobId(f"{self._job_prefix}-{next(self._job_numbers):x}")

    # The order of starts

    def _start_soon(self) -> None:
        """Start the next jobs in a later turn of the loop."""
        if not self._starting and self._starts.waiting:
            self._starting = True
            self._turns.soon(self._start_all())

    def _start_all(self) -> Iterator[None]:
        """Start jobs until none may start now."""
        if self._start_timer is not None:
            self._start_timer.cancel()
            self._start_timer = None
        try:
            for colo in self._window.forget(self._clock.now()):
                self._starts.colo_has_room(colo)
            while self._window.open():
                now = self._clock.now()
                job = self._starts.pop(now, MOST_RUNNING)
                if job is None:
                    break
                # All targets of a colo together, so that they go in one message.
                siblings = TOGETHER
                while job is not None:
                    self._start(job, now)
                    yield
                    now, siblings = self._clock.now(), siblings - 1
                    job = self._starts.pop_sibling(job, now) if siblings else None
        except Exception:
            self._starting = False
            self._start_soon()
            raise
        self._starting = False
        next_at = self._window.forgets_at()
        if self._window.open():
            next_at = min(next_at, self._starts.next_at())
        else:
            self._window.held_back(self._clock.now())
        if next_at < math.inf and self._starts.waiting:
            self._start_timer = self._clock.call_at(next_at, self._start_soon)

    def _start(self, job: LiveJob, now: float) -> None:
        job.started = True
        self._give_ups.forget(job)
        job.machine.delayed_s += self._starts.delayed_s(job)
        self._hold_ups.correct(job, now)
        job.limited_s = self._starts.limited_s(job, now)
        if job.limited_s:
            self._metrics.jobs_limited.inc()
        self.settle(job.machine, now)

    def answered(self, machine: JobMachine, agent: Agent, now: float) -> None:
        """The agent answers an offer. To be called before the machine is told."""
        if machine.state is State.OFFERED and machine.live is not None:
            live = machine.live
            self._window.answered(live.job_id, agent.quickest, now)
            self._starts.colo_has_room(machine.task.colo)
            self._start_soon()

    def _give_up_in_time(self, job: LiveJob, now: float) -> None:
        """Give the job up once it can no longer be traced in time, unless it has started."""
        self._give_ups.after(job.machine.deadline - LEAST_TRACE_S - now, job)

    def _give_up(self, job: LiveJob) -> None:
        now, gate = self._clock.now(), self._starts.waits_for(job)
        self._metrics.jobs_not_started.labels(gate.value).inc()
        if self._give_up_logs.spend(gate, 1, now):
            self._log.warning("jobs_not_started", waited_for=gate.value)
        fault = faults.not_started(job.machine.task.colo, gate, self._target_limits)
        job.machine.give_up(now, fault)
        self.settle(job.machine, now)

    def resolved(self, machine: JobMachine, address: bytes, *, probed: bool) -> bool:
        """An agent reports the address of a job's target, before or after it has probed.

        The job's packets count for the address from now on. If they exceed its rate and the agent
        has not probed yet, the job is taken back, and waits for the address; False then.
        """
        job = self._jobs.get(machine.task.colo, {}).get(machine)
        if job is None:
            return True
        now = self._clock.now()
        target = target_of(address_text(address))
        if self._starts.resolved(job, target, now, may_wait=not probed):
            self._start_soon()  # a job that waits for the rate of the name may start
            return True
        job.started = False
        self._timers.cancel(job)
        machine.postpone(now)
        self._give_up_in_time(job, now)
        self._starts.colo_has_room(machine.task.colo)
        self._start_soon()
        return False

    def sent(self, machine: JobMachine, packets: int) -> None:
        """A job has sent so many packets so far. They count once they exceed what was expected."""
        job = self._jobs.get(machine.task.colo, {}).get(machine)
        if job is not None and packets > machine.task.packets:
            self._starts.sent(job, packets, self._clock.now())

    def _may_offer(self, colo: ColoName) -> bool:
        if self._window.open_for(colo):
            return True
        self._window.held_back(self._clock.now())
        return False

    def _slots(self, colo: ColoName) -> int:
        """The jobs that the colo's agents may run; not limited if it has no agent."""
        agents = self._registry.agents(colo)
        return sum(agent.hello.max_jobs for agent in agents) if agents else sys.maxsize

    def _leave(self, job: LiveJob) -> None:
        job.callers -= 1
        if job.callers == 0 and job.machine.state is not State.ENDED:
            self._recent.forget(job.key, job)
            now = self._clock.now()
            job.machine.cancel(now)
            self.settle(job.machine, now)

    # Events

    def job_of(self, machine: JobMachine) -> LiveJob:
        """The job of a machine that has not ended."""
        return self._jobs[machine.task.colo][machine]

    def of_colo(self, colo: ColoName) -> list[JobMachine]:
        """The machines of the colo's running jobs."""
        return list(self._jobs.get(colo, ()))

    def agent_available(self, colo: ColoName) -> None:
        """An agent of the colo can be offered jobs that could not before."""
        self._turns.each(self.of_colo(colo), self._seek_again)

    def has_room(self, colo: ColoName) -> None:
        """A colo has another agent: jobs that waited for room at its agents may start."""
        self._starts.colo_has_room(colo)
        self._start_soon()

    def offers_blocked(self, reason: str) -> None:
        """No agent can be offered anything, for this reason; "" once offers are possible again."""
        self._blocked = reason
        if not reason:
            machines = [machine for jobs in self._jobs.values() for machine in jobs]
            self._turns.each(machines, self._seek_again)

    def _seek_again(self, machine: JobMachine) -> None:
        machine.agent_available()
        self.settle(machine, self._clock.now())
        self.has_room(machine.task.colo)

    def await_agent(self, colo: ColoName) -> None:
        """Let jobs of the colo wait for its agent, which was renamed and attaches again at once."""
        self._registry.await_agent(colo)
        self._gathered_at = max(self._gathered_at, self._clock.now() + self._gather_s)

    def _held_up(self, by_s: float) -> None:
        """This coordinator did not run for a while, which is no agent's fault."""
        if by_s >= LEFT_AFTER_S:
            self._registry.await_all()
            self._gathered_at = self._clock.now() + self._gather_s
        jobs = [job for jobs in self._jobs.values() for job in jobs.values() if job.started]
        self._turns.each(jobs, self._correct)

    def _correct(self, job: LiveJob) -> None:
        now = self._clock.now()
        self._hold_ups.correct(job, now)
        self.settle(job.machine, now)

    # Machines

    def settle(self, machine: JobMachine, now: float) -> None:
        """After an event of the machine: place its job, send its commands, and set its timer."""
        job = self._jobs.get(machine.task.colo, {}).get(machine)
        if job is None:
            return
        if machine.state is State.SEEKING and job.started:
            colo = machine.task.colo
            wait_until = self._gathered_at if self._registry.awaited(colo) else 0.0
            machine.place(
                now, self._registry.agents(colo), blocked=self._blocked, wait_until=wait_until
            )
        for command in machine.take_commands():
            self._send(machine, command)
        if machine.state is State.ENDED:
            self._finish(job)
            return
        due = machine.next_deadline()
        if job.started and due is not None:
            self._timers.set(job, due)

    def _expire(self, job: LiveJob, now: float) -> None:
        machine = job.machine
        machine.expire(now, self._registry.agents(machine.task.colo), blocked=self._blocked)
        self.settle(machine, now)

    def _send(self, machine: JobMachine, command: Command) -> None:
        agent, task = self._registry.get(command.agent), machine.task
        link = agent.link if agent is not None else None
        about = {"colo": task.colo, "target": task.target, "agent": command.agent.agent_id}
        match command:
            case Offer(key, offer, shared):
                self._window.offered(offer.job_id, task.colo, self._clock.now())
                self._log.debug("job_offered", **about, job=offer.job_id)
                if machine.offers > 1:
                    self._metrics.jobs_moved.inc()
                if link is not None and link.offer(key, offer, shared=shared):
                    machine.published()
            case CancelJob(key, job_id):
                self._window.withdrawn(job_id, self._clock.now())
                self._log.debug("job_cancelled", **about, job=job_id)
                if link is not None:
                    link.cancel(key, job_id)
            case Resync(key, detail):
                self._log.warning("frames_missing", **about, detail=detail)
                if link is not None:
                    link.close(key, Closing.RESYNC, detail)
            case Blame(key, trouble):
                self._registry.troubles.note(task.colo, key.agent_id, trouble)

    def _finish(self, job: LiveJob) -> None:
        task, result = job.key.task, job.machine.result
        if (sent := job.machine.sent) is not None:
            self._starts.sent(job, sent, self._clock.now())
        jobs = self._jobs[task.colo]
        del jobs[job.machine]
        if not jobs:
            del self._jobs[task.colo]
        self._starts.remove(job)
        self._give_ups.forget(job)
        self._recent.ended(job.key, job, self._loop.time())
        self._starts.colo_has_room(task.colo)
        self._start_soon()
        self._timers.cancel(job)
        if result is None:
            code = "cancelled"
            job.done.cancel()
        else:
            code = str(result.fault.code) if result.fault else "0"
            if job.limited_s:
                result = replace(result, limited_s=job.limited_s)
            job.done.set_result(result)
            if result.fault is not None:
                self._metrics.jobs_overloaded.inc(result.fault.own)
            if result.fault is not None and job.started:
                self._log.info(
                    "job_failed",
                    colo=task.colo,
                    target=task.target,
                    code=code,
                    detail=result.fault.words,
                )
        self._metrics.jobs_ended[code].inc()
        self._metrics.job_seconds.observe(self._loop.time() - job.began_at)
