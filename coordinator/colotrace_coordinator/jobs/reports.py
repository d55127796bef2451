"""Takes what links report of agents (`FleetEvents`) to the fleet, and to the jobs concerned."""

from collections.abc import Callable, Iterator

from colotrace_proto.messages import (
    Accepted,
    Ack,
    Capabilities,
    Draining,
    Frame,
    Heartbeat,
    Hello,
    JobId,
    Refused,
)
from colotrace_proto.notices import sentence
from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.fleet.agents import AgentKey, AgentName
from colotrace_coordinator.fleet.attached import Agent
from colotrace_coordinator.fleet.fleet import Fleet
from colotrace_coordinator.fleet.link import Admitted, AgentLink, AgentMessage, Rejected
from colotrace_coordinator.metrics import Metrics

from .attempt import Attempt
from .dispatcher import Dispatcher
from .fair import Origin
from .machine import JobMachine


class AgentReports:
    """The `FleetEvents` of all links. `seen` is called with each frame that is new, and the origin
    of its job."""

    def __init__(
        self,
        fleet: Fleet,
        dispatcher: Dispatcher,
        *,
        seen: Callable[[Frame, Origin], None],
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: RunningClock,
    ) -> None:
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._attempts = dispatcher.attempts
        self._settle = dispatcher.settle
        self._seen = seen
        self._metrics = metrics
        self._log = log.bind()
        self._clock = clock

    # Agents that come and go

    def attached(
        self, hello: Hello, link: AgentLink, *, offers_lost: bool = True, available: bool = True
    ) -> Admitted | Rejected:
        """See `FleetEvents`."""
        now = self._clock.now()
        rejected = self._fleet.admit(hello, link, now, available=available, away=not available)
        if rejected is not None:
            return rejected
        self._dispatcher.has_room(hello.colo)
        key = AgentKey.of(hello)
        held = frozenset(hello.held_jobs)
        wanted = []
        for machine, live in self._met(hello, now):
            if live.shared and live.job_id in held:
                machine.accepted(now, key)
            elif live.agent == key:
                machine.stream_back(now, held, offers_lost=offers_lost)
            if machine.live is live and live.job_id in held:
                wanted.append(Ack(live.job_id, live.last_sequence))
            self._settle(machine, now)
        return Admitted(tuple(wanted))

    def reachable(self, hello: Hello, link: AgentLink, *, available: bool) -> Rejected | None:
        """See `FleetEvents`."""
        now = self._clock.now()
        key = AgentKey.of(hello)
        rejected = self._fleet.admit(hello, link, now, available=available)
        if rejected is None:
            self._fleet.set_available(key, available=available)
            self._dispatcher.has_room(hello.colo)
            for machine, live in self._met(hello, now):
                if live.agent == key:
                    machine.offer_lost(now)
                self._settle(machine, now)
        return rejected

    def _met(self, hello: Hello, now: float) -> Iterator[tuple[JobMachine, Attempt]]:
        """Tell the colo's jobs of the agent. Those that it has, or may have taken, are left to the
        caller, each with its live attempt; among them those of the colo that it had before it was
        moved to this one."""
        key = AgentKey.of(hello)
        moved = [each for each in self._attempts.of_agent(key) if each.task.colo != hello.colo]
        for machine in (*self._dispatcher.of_colo(hello.colo), *moved):
            live = machine.live
            if live is None:
                machine.agent_available()
            elif live.agent == key or live.shared:
                yield machine, live
                continue
            elif live.agent.agent_id == hello.agent_id:
                machine.agent_replaced(now)
            else:
                continue
            self._settle(machine, now)

    def detached(
        self, agent: AgentKey, why: str = "", *, revoked: bool = False, renamed: bool = False
    ) -> None:
        """See `StreamEvents`."""
        known = self._fleet.registry.get(agent)
        if not renamed:
            self._fleet.trouble(agent, why or "the connection broke")
        if not self._fleet.detach(agent, jobs=self._attempts.load(agent), renamed=renamed):
            return
        if renamed and known is not None:
            self._dispatcher.await_agent(known.hello.colo)
        if not revoked:
            self.interrupted(agent)
            return
        now = self._clock.now()
        for machine in self._attempts.of_agent(agent):
            machine.agent_revoked(now)
            self._settle(machine, now)

    def renamed(self, former: AgentKey, agent: AgentKey) -> None:
        """See `StreamEvents`."""
        for machine in self._attempts.of_agent(former):
            machine.agent_renamed(agent)

    def interrupted(self, agent: AgentKey, why: str = "") -> None:
        """See `FleetEvents`."""
        if why:  # else it may have closed an idle stream
            self._fleet.trouble(agent, why)
        now = self._clock.now()
        for machine in self._attempts.of_agent(agent):
            machine.stream_lost(now)
            self._settle(machine, now)

    def set_available(self, agent: AgentKey, *, available: bool, away: bool = False) -> None:
        """See `FleetEvents`."""
        changed = self._fleet.set_available(agent, available=available, away=away)
        if changed is not None and available:
            self._dispatcher.agent_available(changed.hello.colo)

    def drain(self, names: frozenset[AgentName]) -> None:
        """Let these agents take no new jobs, and all others take some. Running jobs go on."""
        for agent in self._fleet.drain(names):
            self._dispatcher.agent_available(agent.hello.colo)

    def offers_blocked(self, reason: str) -> None:
        """See `FleetEvents`."""
        self._dispatcher.offers_blocked(reason)

    # Messages

    def frame_due(self, agent: AgentKey, job_id: JobId, size: int) -> bool | None:
        """See `StreamEvents`."""
        machine = self._held_by(agent, job_id)
        if machine is None or machine.live is None:
            return None
        if machine.live.admits(size):
            return True
        now = self._clock.now()
        machine.exceeded(now)
        self._settle(machine, now)
        return False

    def heard(self, agent: AgentKey, message: AgentMessage) -> None:
        """See `StreamEvents`."""
        now = self._clock.now()
        sender = self._fleet.registry.get(agent)
        if sender is None:
            return
        sender.heard_at = now
        sender.messages += 1
        match message:
            case Frame():
                self._frame(sender, message, now)
            case Accepted():
                self._accepted(sender, message, now)
            case Refused():
                self._refused(sender, message, now)
            case Draining():
                self.set_available(agent, available=False)
            case Capabilities():
                if self._fleet.set_families(sender, message.families):
                    self._dispatcher.agent_available(sender.hello.colo)
            case Heartbeat():
                self._fleet.packets.reported(sender.hello.colo, agent, message.counters)
                if message.usage is not None:
                    self._fleet.uses(sender, message.usage)

    def _accepted(self, sender: Agent, message: Accepted, now: float) -> None:
        machine = self._answered_by(sender, message.job_id)
        if machine is None:
            # The job has moved to another agent meanwhile, or has ended.
            sender.link.cancel(sender.key, message.job_id)
            return
        self._dispatcher.answered(machine, sender, now)
        machine.accepted(now, sender.key)
        self._settle(machine, now)

    def _refused(self, sender: Agent, message: Refused, now: float) -> None:
        machine = self._answered_by(sender, message.job_id)
        if machine is None:
            return
        self._log.info(
            "job_refused",
            colo=machine.task.colo,
            target=machine.task.target,
            agent=sender.key.agent_id,
            job=message.job_id,
            reason=message.reason.name,
            detail=sentence(message.notice) if message.notice else "",
        )
        self._dispatcher.answered(machine, sender, now)
        machine.refused(now, sender.key, message)
        self._settle(machine, now)

    def _frame(self, sender: Agent, frame: Frame, now: float) -> None:
        self._metrics.frames.inc()
        machine = self._held_by(sender.key, frame.job_id)
        if machine is None:
            # The job has ended or moved: have the agent delete it.
            sender.link.ack(sender.key, Ack(frame.job_id, frame.sequence))
            if frame.outcome is None:
                sender.link.cancel(sender.key, frame.job_id)
            return
        live = machine.live
        before = live.target_address if live is not None else b""
        self._dispatcher.answered(machine, sender, now)
        sequence = machine.frame(now, frame)
        # The agent does not probe a name's address before this frame is acknowledged.
        asks = not before and not frame.sent and frame.outcome is None
        goes_on = True
        if sequence == frame.sequence:
            job = self._dispatcher.job_of(machine)
            self._seen(frame, job.origin)
            for progressed in job.watchers:
                progressed()
            if frame.target_address != before and frame.target_address:
                address = frame.target_address
                goes_on = self._dispatcher.resolved(machine, address, probed=not asks)
            if machine.task.options.multipath and frame.sent:
                self._dispatcher.sent(machine, sum(frame.sent))
        if sequence and goes_on:
            sender.link.ack(sender.key, Ack(frame.job_id, sequence), at_once=asks)
        self._settle(machine, now)

    def _answered_by(self, sender: Agent, job_id: JobId) -> JobMachine | None:
        """The machine whose offer the agent answers, if the offer was made to it or to its colo."""
        machine = self._attempts.get(job_id)
        live = machine.live if machine is not None else None
        if machine is None or live is None or sender.hello.colo != machine.task.colo:
            return None
        return machine if live.agent == sender.key or live.shared else None

    def _held_by(self, agent: AgentKey, job_id: JobId) -> JobMachine | None:
        """The machine whose live attempt has that id, if the attempt is this agent's."""
        machine = self._attempts.get(job_id)
        live = machine.live if machine is not None else None
        return machine if live is not None and live.agent == agent else None
