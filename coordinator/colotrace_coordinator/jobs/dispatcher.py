"""Drives the machines of the running jobs: gives them agents and time, and sends their commands.

Everything happens in one pass of the event loop, from an agent's message to the command that it
causes or the caller that it wakes: there is no task and no queue in between.
"""

import asyncio
import secrets
from collections.abc import Iterable
from functools import partial

from colotrace_proto.deadlines import GATHER_S, JOIN_DIFFERENCE_S, job_deadline
from colotrace_proto.messages import ColoName, JobId
from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.fleet.link import Closing
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.shares import TokenBuckets

from .coalesce import Recent
from .commands import CancelJob, Command, Offer, Resync
from .index import LiveAttempts
from .machine import JobMachine, State
from .running import JobKey, LiveJob, Ticket

MIN_HOLD_UP_S = 0.5
"""Hold-ups are summed up until they reach this much; then every deadline is corrected."""
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
        gather_s: float = GATHER_S,
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._log = log.bind()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._gather_s = gather_s
        self._gathered_at = clock.now() + gather_s
        self._held_up_s = 0.0
        self._held_up_logs: TokenBuckets[None] = TokenBuckets(rate=0.1, burst=3)
        self._blocked = ""
        self._jobs: dict[ColoName, dict[JobMachine, LiveJob]] = {}
        self._recent: Recent[JobKey, LiveJob] = Recent()
        self.attempts: LiveAttempts[JobMachine] = LiveAttempts()
        clock.on_held_up(self._held_up)

    # Callers

    def begin(self, key: JobKey, *, spent_s: float = 0.0) -> Ticket:
        """Begin the job of a request that has taken `spent_s` so far, or join an identical job that
        has just begun."""
        now = self._clock.now()
        deadline = job_deadline(now, spent_s=spent_s)
        job = self._recent.find(key, now)
        if job is None or job.machine.deadline > deadline + JOIN_DIFFERENCE_S:
            job = self._start(key, now, deadline)
        else:
            self._metrics.jobs_shared.inc()
        job.callers += 1
        return Ticket(job.done, partial(self._leave, job))

    def _start(self, key: JobKey, now: float, deadline: float) -> LiveJob:
        machine = JobMachine(
            key.task,
            deadline=deadline,
            new_job_id=lambda: JobId(secrets.token_hex(8)),
            index=self.attempts,
        )
        job = LiveJob(key, machine, self._loop.create_future(), self._loop.time())
        self._jobs.setdefault(key.task.colo, {})[machine] = job
        self._recent.add(key, job, now)
        self._metrics.jobs_running.inc()
        self.settle(machine, now)
        return job

    def _leave(self, job: LiveJob) -> None:
        job.callers -= 1
        if job.callers == 0 and job.machine.state is not State.ENDED:
            self._recent.forget(job.key, job)
            now = self._clock.now()
            job.machine.cancel(now)
            self.settle(job.machine, now)

    # Events

    def of_colo(self, colo: ColoName) -> list[JobMachine]:
        """The machines of the colo's running jobs."""
        return list(self._jobs.get(colo, ()))

    def agent_available(self, colo: ColoName) -> None:
        """An agent of the colo can be offered jobs that could not before."""
        self._seek_again(self.of_colo(colo))

    def offers_blocked(self, reason: str) -> None:
        """No agent can be offered anything, for this reason; "" once offers are possible again."""
        self._blocked = reason
        if not reason:
            self._seek_again([machine for jobs in self._jobs.values() for machine in jobs])

    def _seek_again(self, machines: Iterable[JobMachine]) -> None:
        now = self._clock.now()
        for machine in machines:
            machine.agent_available()
            self.settle(machine, now)

    def _held_up(self, by_s: float) -> None:
        """This coordinator did not run for a while, which is no agent's fault."""
        self._held_up_s += by_s
        if self._held_up_s < MIN_HOLD_UP_S:
            return
        by_s, self._held_up_s = self._held_up_s, 0.0
        now = self._clock.now()
        if self._held_up_logs.spend(None, 1, now):
            self._log.warning("held_up", seconds=round(by_s, 1))
        if by_s >= LEFT_AFTER_S:
            self._registry.await_all()
            self._gathered_at = now + self._gather_s
        for machine in [machine for jobs in self._jobs.values() for machine in jobs]:
            machine.held_up(now, by_s=by_s)
            self.settle(machine, now)

    # Machines

    def settle(self, machine: JobMachine, now: float) -> None:
        """After an event of the machine: place its job, send its commands, and set its timer."""
        job = self._jobs.get(machine.task.colo, {}).get(machine)
        if job is None:
            return
        if machine.state is State.SEEKING:
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
        if due != job.due and due is not None:
            if job.timer is not None:
                job.timer.cancel()
            job.due, job.timer = due, self._clock.call_at(due, partial(self._expire, job))

    def _expire(self, job: LiveJob) -> None:
        job.due = None
        now = self._clock.now()
        machine = job.machine
        machine.expire(now, self._registry.agents(machine.task.colo), blocked=self._blocked)
        self.settle(machine, now)

    def _send(self, machine: JobMachine, command: Command) -> None:
        agent, task = self._registry.get(command.agent), machine.task
        link = agent.link if agent is not None else None
        about = {"colo": task.colo, "target": task.target, "agent": command.agent.agent_id}
        match command:
            case Offer(key, offer, shared):
                self._log.debug("job_offered", **about, job=offer.job_id)
                if machine.offers > 1:
                    self._metrics.jobs_moved.inc()
                if link is not None and link.offer(key, offer, shared=shared):
                    machine.published()
            case CancelJob(key, job_id):
                self._log.debug("job_cancelled", **about, job=job_id)
                if link is not None:
                    link.cancel(key, job_id)
            case Resync(key, detail):
                self._log.warning("frames_missing", **about, detail=detail)
                if link is not None:
                    link.close(key, Closing.RESYNC, detail)

    def _finish(self, job: LiveJob) -> None:
        task = job.key.task
        jobs = self._jobs[task.colo]
        del jobs[job.machine]
        if not jobs:
            del self._jobs[task.colo]
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None  # which refers to the job: without the cycle it is freed at once
        result = job.machine.result
        if result is None:
            code = "cancelled"
            job.done.cancel()
        else:
            code = str(result.fault.code) if result.fault else "0"
            job.done.set_result(result)
            if result.fault is not None:
                self._log.info(
                    "job_failed",
                    colo=task.colo,
                    target=task.target,
                    code=code,
                    detail=result.fault.words,
                )
        self._metrics.jobs.labels(code=code).inc()
        self._metrics.jobs_running.dec()
        self._metrics.job_seconds.observe(self._loop.time() - job.began_at)
