"""Runs the jobs' machines: gives them events, time and agents, and sends what they command.

Everything here happens in one turn of the event loop, from an agent's message to the command
that it causes or the caller that it wakes: there is no task and no queue on the way.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from colotrace_proto.messages import (
    Accepted,
    Ack,
    Capabilities,
    ColoName,
    Draining,
    Family,
    Frame,
    Heartbeat,
    Hello,
    JobId,
    Refused,
)
from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.deadlines import JOBS_S
from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.link import Admitted, AgentSays, Closing, Link, Rejected, Rejection
from colotrace_coordinator.fleet.packet_counts import PacketCounts
from colotrace_coordinator.fleet.registry import Agent, Registry, RegistryFullError, SupersededError
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.shares import Budgets

from .attempt import Attempt
from .coalesce import Recent
from .commands import CancelJob, Command, Offer, Resync
from .machine import JobMachine, State
from .running import JobSpec, Run, Ticket

LATER_S = 0.2
"""How much later than one's own the deadline of a job may be that one joins."""
GATHER_S = 10.0
"""After the start, how long a row of a colo that was known before waits for its agents."""
WORTHWHILE_S = 0.5
"""Hold-ups that come to less in all are not worth a look at every job."""
LEFT_AFTER_S = 5.0
"""Agents may give up a coordinator that was held up for longer: then it gathers them anew."""


class Dispatcher:
    """The `Fleet` that links report to, and where callers begin jobs.

    `seen` is called with each frame that is new. To be made inside a running event loop.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        metrics: Metrics,
        log: FilteringBoundLogger,
        seen: Callable[[Frame], None],
        clock: RunningClock,
        gather_s: float = GATHER_S,
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._log = log
        self._seen = seen
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._gather_s = gather_s
        self._gathered_at = clock.now() + gather_s
        clock.on_held_up(self._held_up)
        self._behind_s = 0.0
        self._held_up_logs: Budgets[None] = Budgets(rate=0.1, burst=3)
        self._links: dict[AgentKey, Link] = {}
        self._runs: dict[ColoName, set[Run]] = {}
        self._by_job: dict[JobId, Run] = {}
        self._cut_off = ""
        self._recent: Recent[JobSpec, Run] = Recent()
        self._packets = PacketCounts(metrics)
        for colo in registry.colos():
            metrics.know_colo(colo.name)
        registry.on_forgotten = metrics.forget_colo
        # Agents that were not admitted, and when that was last logged.
        self._refusals: Budgets[tuple[str, str]] = Budgets(rate=1 / 60, burst=1)

    # Callers

    def begin(self, spec: JobSpec, *, spent_s: float = 0.0) -> Ticket:
        """Begin the job, or join an identical one that has just begun. So much of its time is
        spent already."""
        now = self._clock.now()
        deadline = now + JOBS_S - spent_s
        run = self._recent.find(spec, now)
        if run is None or run.deadline > deadline + LATER_S:
            run = self._start(spec, now, deadline)
        else:
            self._metrics.jobs_shared.inc()
        run.callers += 1
        return Ticket(run.done, lambda: self._leave(run))

    def _start(self, spec: JobSpec, now: float, deadline: float) -> Run:
        machine = JobMachine(
            spec.task, now=now, deadline=deadline, new_job_id=lambda: JobId(secrets.token_hex(8))
        )
        run = Run(
            spec,
            machine,
            self._loop.create_future(),
            self._loop.time(),
            deadline,
            log=self._log.bind(colo=spec.task.colo, target=spec.task.target),
        )
        self._runs.setdefault(spec.task.colo, set()).add(run)
        self._recent.add(spec, run, now)
        self._metrics.jobs_running.inc()
        self._settle(run, now)
        return run

    def _leave(self, run: Run) -> None:
        run.callers -= 1
        if run.callers == 0 and run.machine.state is not State.ENDED:
            self._recent.forget(run.spec, run)
            now = self._clock.now()
            run.machine.cancel(now)
            self._settle(run, now)

    # Agents

    def attached(
        self, hello: Hello, link: Link, *, offers_lost: bool = True, available: bool = True
    ) -> Admitted | Rejected:
        """See `Fleet`."""
        now = self._clock.now()
        rejected = self._admit(hello, link, now, available=available, away=not available)
        if rejected is not None:
            return rejected
        key = AgentKey(hello.agent_id, hello.boot_id)
        held = frozenset(hello.held_jobs)
        wanted = []
        for run, live in self._met(hello, now):
            if live.to_anyone and live.job_id in held:
                run.machine.accepted(now, key)
            elif live.agent == key:
                run.machine.stream_back(now, held, offers_lost=offers_lost)
            if run.machine.live is live and live.job_id in held:
                wanted.append(Ack(live.job_id, live.last_sequence))
        return Admitted(tuple(wanted))

    def there(self, hello: Hello, link: Link, *, available: bool) -> Rejected | None:
        """See `Fleet`."""
        now = self._clock.now()
        key = AgentKey(hello.agent_id, hello.boot_id)
        rejected = self._admit(hello, link, now, available=available)
        if rejected is None:
            self._mark(key, available=available)
            for run, live in self._met(hello, now):
                if live.agent == key:
                    run.machine.offer_lost(now)
        return rejected

    def _admit(
        self, hello: Hello, link: Link, now: float, *, available: bool, away: bool = False
    ) -> Rejected | None:
        key = AgentKey(hello.agent_id, hello.boot_id)
        log = self._log.bind(agent=hello.agent_id, colo=hello.colo)
        if not hello.packet_types:
            return Rejected(Rejection.UNFIT, "no packet type in common")
        known = self._registry.get(key) is not None
        try:
            replaced = self._registry.attach(hello, now, draining=not available, away=away)
        except SupersededError as error:
            if self._refusals.spend((hello.colo, hello.agent_id), 1, now):
                log.warning("agent_id_in_use", detail=str(error))
            return Rejected(Rejection.SUPERSEDED, str(error))
        except RegistryFullError as error:
            if self._refusals.spend((hello.colo, ""), 1, now):
                log.warning("agent_not_admitted", detail=str(error))
            return Rejected(Rejection.FULL, str(error))
        if replaced is not None:
            detail = f"another process has attached as {hello.agent_id} of {hello.colo}"
            log.warning("agent_superseded", detail=detail)
            old_link = self._links.pop(replaced.key, None)
            if old_link is not None:
                old_link.close(replaced.key, Closing.SUPERSEDED, detail)
        self._links[key] = link
        self._metrics.know_colo(hello.colo)
        self._count_agents(hello.colo)
        if not known:
            held = len(hello.held_jobs)
            log.info("agent_attached", version=hello.software_version, held_jobs=held)
        return None

    def _met(self, hello: Hello, now: float) -> Iterator[tuple[Run, Attempt]]:
        """Lets the colo's jobs know of the agent; those that it may have, or have had, are for the
        caller to see to."""
        key = AgentKey(hello.agent_id, hello.boot_id)
        for run in list(self._runs.get(hello.colo, ())):
            live = run.machine.live
            if live is None:
                run.machine.agent_came()
            elif live.agent == key or live.to_anyone:
                yield run, live
                if run.machine.live is live and live.agent == key:
                    self._running(key).add(live.job_id)
            elif live.agent.agent_id == hello.agent_id:
                run.machine.agent_gone(now)
            else:
                continue
            self._settle(run, now)

    def detached(self, agent: AgentKey) -> None:
        """See `Fleet`."""
        now = self._clock.now()
        gone = self._registry.detach(agent)
        self._links.pop(agent, None)
        if gone is None:
            return
        colo = gone.hello.colo
        self._log.info("agent_detached", agent=agent.agent_id, colo=colo, jobs=len(gone.running))
        self._count_agents(colo)
        self._metrics.agent_losses.labels(colo=colo).inc()
        self._lose(gone.running, now)

    def interrupted(self, agent: AgentKey) -> None:
        """See `Fleet`."""
        self._lose(self._running(agent), self._clock.now())

    def _lose(self, jobs: Iterable[JobId], now: float) -> None:
        for job_id in list(jobs):
            run = self._by_job[job_id]
            run.machine.stream_lost(now)
            self._settle(run, now)

    def available(self, agent: AgentKey, *, now: bool, away: bool = False) -> None:
        """See `Fleet`."""
        attached = self._mark(agent, available=now, away=away)
        if attached is not None and now:
            self._agent_came(attached.hello.colo)

    def _mark(self, key: AgentKey, *, available: bool, away: bool = False) -> Agent | None:
        """Notes whether an agent takes jobs; returns it where that has changed."""
        agent = self._registry.get(key)
        if agent is None:
            return None
        if agent.draining is not available:
            if agent.away and not away:  # its own word counts for more
                self._registry.mark(agent, draining=agent.draining)
            return None
        self._registry.mark(agent, draining=not available, away=away)
        self._count_agents(agent.hello.colo)
        event = "agent_back" if available else "agent_away" if away else "agent_draining"
        self._log.info(event, agent=key.agent_id, colo=agent.hello.colo)
        return agent

    def _offers(self, sender: Agent, families: frozenset[Family]) -> None:
        """An attached agent can send other families than before."""
        if families == sender.hello.families:
            return
        gained = families - sender.hello.families
        self._registry.offers(sender, families)
        self._log.info(
            "agent_families",
            agent=sender.key.agent_id,
            colo=sender.hello.colo,
            families=[family.name.lower() for family in sorted(families)],
        )
        if gained:
            self._agent_came(sender.hello.colo)

    def _agent_came(self, colo: ColoName) -> None:
        """Lets the colo's jobs that have no agent look again."""
        for run in list(self._runs.get(colo, ())):
            run.machine.agent_came()
            self._settle(run, self._clock.now())

    def cut_off(self, why: str) -> None:
        """See `Fleet`."""
        self._cut_off = why
        if not why:
            now = self._clock.now()
            for run in self._all_runs():
                run.machine.agent_came()
                self._settle(run, now)

    def frame_due(self, agent: AgentKey, job_id: JobId, size: int) -> bool | None:
        """See `Fleet`."""
        run = self._run_of(agent, job_id)
        if run is None or run.machine.live is None:
            return None
        if run.machine.live.admits(size):
            return True
        now = self._clock.now()
        run.machine.exceeded(now)
        self._settle(run, now)
        return False

    def heard(self, agent: AgentKey, message: AgentSays) -> None:
        """See `Fleet`."""
        now = self._clock.now()
        sender = self._registry.get(agent)
        if sender is None:
            return
        sender.heard_at = now
        match message:
            case Frame():
                self._frame(agent, message, now)
            case Accepted():
                self._accepted(agent, message, now)
            case Refused():
                self._refused(sender, message, now)
            case Draining():
                self.available(agent, now=False)
            case Capabilities():
                self._offers(sender, message.families)
            case Heartbeat():
                self._packets.told(sender.hello.colo, agent, message.counters)

    def _accepted(self, agent: AgentKey, message: Accepted, now: float) -> None:
        sender = self._registry.get(agent)
        run = self._answered_by(sender, message.job_id) if sender is not None else None
        if run is None:
            # It was given to another meanwhile, or nobody wants it any more.
            self._links[agent].cancel(agent, message.job_id)
            return
        run.machine.accepted(now, agent)
        self._settle(run, now)

    def _refused(self, sender: Agent, message: Refused, now: float) -> None:
        run = self._answered_by(sender, message.job_id)
        if run is None:
            return
        run.log.info(
            "job_refused",
            agent=sender.key.agent_id,
            job=message.job_id,
            reason=message.reason.name,
            detail=message.detail,
        )
        run.machine.refused(now, sender.key, message)
        self._settle(run, now)

    def _answered_by(self, sender: Agent, job_id: JobId) -> Run | None:
        """The run whose offer the agent answers, if it was made to it, or to any of its colo."""
        run = self._by_job.get(job_id)
        live = run.machine.live if run is not None else None
        if run is None or live is None or sender.hello.colo != run.spec.task.colo:
            return None
        return run if live.agent == sender.key or live.to_anyone else None

    def _frame(self, agent: AgentKey, frame: Frame, now: float) -> None:
        self._metrics.frames.inc()
        final = frame.outcome is not None
        run = self._run_of(agent, frame.job_id)
        link = self._links[agent]
        if run is None:
            # Let the agent forget a job that nobody wants any more.
            link.ack(agent, Ack(frame.job_id, frame.sequence), final=final)
            if not final:
                link.cancel(agent, frame.job_id)
            return
        sequence = run.machine.frame(now, frame)
        if sequence == frame.sequence:
            self._seen(frame)
        if sequence:
            link.ack(agent, Ack(frame.job_id, sequence), final=final)
        self._settle(run, now)

    def _run_of(self, agent: AgentKey, job_id: JobId) -> Run | None:
        """The run whose live attempt this is, where it is this agent's."""
        run = self._by_job.get(job_id)
        live = run.machine.live if run is not None else None
        return run if live is not None and live.agent == agent else None

    def _count_agents(self, colo: ColoName) -> None:
        agents = self._registry.candidates(colo)
        draining = sum(agent.draining for agent in agents)
        self._metrics.agents.labels(colo=colo, state="up").set(len(agents) - draining)
        self._metrics.agents.labels(colo=colo, state="draining").set(draining)

    # Machines

    def _settle(self, run: Run, now: float) -> None:
        """After anything has happened to the machine: do what it wants, and note where it is."""
        machine = run.machine
        if machine.state is State.SEEKING:
            agents = self._registry.candidates(run.spec.task.colo)
            wait_until = self._gathered_at if self._registry.awaited(run.spec.task.colo) else 0.0
            machine.place(now, agents, cut_off=self._cut_off, wait_until=wait_until)
        self._enter(run)
        for command in machine.take_commands():
            self._send(run, command)
        if machine.state is State.ENDED:
            self._finish(run)
            return
        due = machine.next_deadline()
        if due != run.due and due is not None:
            if run.timer is not None:
                run.timer.cancel()
            run.due, run.timer = due, self._clock.call_at(due, partial(self._expire, run))

    def _expire(self, run: Run) -> None:
        run.due = None
        now = self._clock.now()
        agents = self._registry.candidates(run.spec.task.colo)
        run.machine.expire(now, agents, cut_off=self._cut_off)
        self._settle(run, now)

    def _held_up(self, by_s: float) -> None:
        """This coordinator did not run for a while: no agent's fault."""
        self._behind_s += by_s
        if self._behind_s < WORTHWHILE_S:
            return
        by_s, self._behind_s = self._behind_s, 0.0
        now = self._clock.now()
        if self._held_up_logs.spend(None, 1, now):
            self._log.warning("held_up", seconds=round(by_s, 1))
        if by_s >= LEFT_AFTER_S:
            self._registry.await_all()
            self._gathered_at = now + self._gather_s
        for run in self._all_runs():
            run.deadline = max(run.deadline - by_s, now)
            run.machine.held_up(now, by_s=by_s)
            self._settle(run, now)

    def _all_runs(self) -> list[Run]:
        return [run for runs in self._runs.values() for run in runs]

    def _enter(self, run: Run) -> None:
        """Keep the index and the agents' running jobs in step with the live attempt."""
        live = run.machine.live
        place = (live.agent, live.job_id) if live is not None else None
        if place == run.entered:
            return
        if run.entered is not None:
            agent, job_id = run.entered
            self._by_job.pop(job_id, None)
            self._running(agent).discard(job_id)
        if place is not None:
            agent, job_id = place
            self._by_job[job_id] = run
            self._running(agent).add(job_id)
        run.entered = place

    def _running(self, agent: AgentKey) -> set[JobId]:
        attached = self._registry.get(agent)
        return attached.running if attached is not None else set()

    def _send(self, run: Run, command: Command) -> None:
        link = self._links.get(command.agent)
        name = command.agent.agent_id
        match command:
            case Offer():
                run.log.debug("job_offered", agent=name, job=command.job.job_id)
                run.offers += 1
                if run.offers > 1:
                    self._metrics.jobs_moved.inc()
                if link is not None and link.offer(
                    command.agent, command.job, anyone=command.anyone
                ):
                    run.machine.left_to_anyone()
            case CancelJob():
                run.log.debug("job_taken_back", agent=name, job=command.job_id)
                if link is not None:
                    link.cancel(command.agent, command.job_id)
            case Resync():
                run.log.warning("frames_missing", agent=name, detail=command.detail)
                if link is not None:
                    link.close(command.agent, Closing.RESYNC, command.detail)

    def _finish(self, run: Run) -> None:
        runs = self._runs.get(run.spec.task.colo)
        if runs is None or run not in runs:
            return
        runs.remove(run)
        if not runs:
            del self._runs[run.spec.task.colo]
        if run.timer is not None:
            run.timer.cancel()
        finished = run.machine.finished
        if finished is None:
            code = "cancelled"
            run.done.cancel()
        else:
            code = str(finished.fault.code) if finished.fault else "0"
            run.done.set_result(finished)
            if finished.fault is not None:
                run.log.info("job_failed", code=code, detail=finished.fault.words)
        self._metrics.jobs.labels(code=code).inc()
        self._metrics.jobs_running.dec()
        self._metrics.job_seconds.observe(self._loop.time() - run.began_at)
