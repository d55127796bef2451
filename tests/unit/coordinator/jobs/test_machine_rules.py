"""Whatever happens in whatever order, a job keeps its promises."""

from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.jobs.commands import Blame, CancelJob, Offer, Resync
from colotrace_coordinator.jobs.machine import State
from colotrace_proto.messages import Failure, JobId, RefusalReason
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from unit.coordinator.jobs.virtual import DEADLINE, Clockwork, key

NAMES = ("a", "b", "c")


class AnyOrder(RuleBasedStateMachine):
    """The colo's agents, the network and the caller do what they like."""

    @initialize(names=st.sets(st.sampled_from(NAMES)), shared=st.booleans())
    def begin(self, names: set[str], shared: bool) -> None:
        self.run = Clockwork(*sorted(names), shared=shared)
        self.boots = dict.fromkeys(NAMES, 0)
        self.read = 0
        # Attempts that agents have been offered and not been told to drop.
        self.open: dict[JobId, AgentKey] = {}
        self.job_ids: set[JobId] = set()
        # Offers that any agent of the colo may take.
        self.anyones: set[JobId] = set()
        self.cancelled = False

    @precondition(lambda self: self.run.machine.state is State.ENDED)
    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1), shared=st.booleans())
    def next_job(self, names: set[str], shared: bool) -> None:
        self.begin(names, shared)

    def up(self, name: str) -> bool:
        return key(name, self.boots[name]) in self.run.agents

    @property
    def live(self) -> bool:
        return self.run.machine.live is not None

    @property
    def reachable(self) -> bool:
        live = self.run.machine.live
        return live is not None and live.agent in self.run.agents

    @rule(seconds=st.sampled_from((0.01, 0.1, 0.5, 1.0, 2.0, 3.0, 10.0)))
    def time_passes(self, seconds: float) -> None:
        self.run.until(self.run.now + seconds)

    @rule(name=st.sampled_from(NAMES))
    def beat(self, name: str) -> None:
        if self.up(name) and not self.boots[name]:
            self.run.heard(name)

    @precondition(lambda self: self.reachable)
    @rule()
    def accept(self) -> None:
        self.run.accept()

    @property
    def on_its_way(self) -> bool:
        """Whether there is an offer that comes by another way than a stream."""
        return self.run.shared and self.run.machine.state is State.OFFERED

    @property
    def is_shared(self) -> bool:
        live = self.run.machine.live
        return live is not None and live.shared

    @precondition(lambda self: self.is_shared)
    @rule(name=st.sampled_from(NAMES))
    def accepted_by(self, name: str) -> None:
        if self.up(name) and not self.boots[name]:
            self.check_commands()
            self.open[self.run.job_id] = key(name)
            self.run.accept_by(name)

    @precondition(lambda self: self.is_shared)
    @rule(name=st.sampled_from(NAMES), reason=st.sampled_from(RefusalReason))
    def refused_by(self, name: str, reason: RefusalReason) -> None:
        if self.up(name) and not self.boots[name]:
            self.check_commands()
            self.open.pop(self.run.job_id)
            self.run.refuse(reason, by=name)

    @rule(why=st.sampled_from(("", "away")))
    def broker(self, why: str) -> None:
        self.run.blocked = why

    @precondition(lambda self: self.live)
    @rule()
    def offer_lost(self) -> None:
        self.check_commands()
        live = self.run.machine.live
        assert live is not None
        if self.run.machine.state is State.OFFERED and not live.shared:
            self.open.pop(live.job_id, None)
        self.run.machine.offer_lost(self.run.now)
        self.run.settle()

    @precondition(lambda self: self.reachable and self.run.machine.state is State.OFFERED)
    @rule(reason=st.sampled_from(RefusalReason))
    def refuse(self, reason: RefusalReason) -> None:
        self.open.pop(self.run.job_id)
        self.run.refuse(reason)

    @precondition(lambda self: self.reachable)
    @rule(step=st.integers(-1, 2), lines=st.integers(0, 6))
    def frame(self, step: int, lines: int) -> None:
        assert self.run.machine.live is not None
        self.run.frame(max(1, self.run.machine.live.last_sequence + step), lines)

    @precondition(lambda self: self.reachable)
    @rule(failure=st.sampled_from(Failure), lines=st.integers(0, 2))
    def last_frame(self, failure: Failure, lines: int) -> None:
        live = self.run.machine.live
        assert live is not None
        if live.reply_count + lines <= live.most_replies:
            self.open.pop(live.job_id)
            self.run.frame(live.last_sequence + 1, lines, failure=failure)

    @rule(name=st.sampled_from(NAMES))
    def stream_drops(self, name: str) -> None:
        if self.up(name):
            self.check_commands()
            self.run.detach(name, self.boots[name])

    @rule(name=st.sampled_from(NAMES), held=st.booleans())
    def comes_back(self, name: str, held: bool) -> None:
        if self.up(name) or self.boots[name]:
            return
        live = self.run.machine.live
        # It drops whatever is not wanted any more.
        for job_id, agent in list(self.open.items()):
            kept = live is not None and live.job_id == job_id and (held or self.on_its_way)
            if agent == key(name) and not kept:
                del self.open[job_id]
        self.run.back(name, *([live.job_id] if held and live else []))

    @rule(name=st.sampled_from(NAMES))
    def restarts(self, name: str) -> None:
        self.check_commands()
        live = self.run.machine.live
        for job_id, agent in list(self.open.items()):
            anyones = live is not None and live.shared and live.job_id == job_id
            if agent.agent_id == name and not anyones:
                del self.open[job_id]
        self.run.agents.pop(key(name, self.boots[name]), None)
        self.boots[name] += 1
        self.run.attach(name, self.boots[name], settle=False)
        live = self.run.machine.live
        if live is not None and live.agent.agent_id == name:
            self.run.machine.agent_replaced(self.run.now)
        self.run.machine.agent_available()
        self.run.settle()

    @rule()
    def caller_goes(self) -> None:
        self.run.machine.cancel(self.run.now)
        self.run.settle()
        self.cancelled = True

    @invariant()
    def check_commands(self) -> None:
        """No command for an agent that is not attached; each attempt has an id of its own."""
        commands, self.read = self.run.sent[self.read :], len(self.run.sent)
        for command in commands:
            match command:
                case Offer(agent, job, anyone):
                    if anyone and self.run.shared:
                        self.anyones.add(job.job_id)
                    assert not self.run.blocked
                    assert job.job_id not in self.job_ids
                    assert 0 < job.remaining_ms <= 23_200
                    self.job_ids.add(job.job_id)
                    self.open[job.job_id] = agent
                case CancelJob(agent, job_id):
                    assert self.open.pop(job_id) == agent
                    if job_id in self.anyones:
                        continue  # all of the colo hear of it
                case Resync(agent, _):
                    pass
                case Blame():
                    continue  # it may have gone
            assert command.agent in self.run.agents

    @invariant()
    def index_has_the_live_attempt_alone(self) -> None:
        """The index agrees with the machine after every event."""
        live, index = self.run.machine.live, self.run.index
        if live is None:
            assert len(index) == 0
        else:
            assert len(index) == 1
            assert index.get(live.job_id) is self.run.machine
            assert index.of_agent(live.agent) == (self.run.machine,)

    @invariant()
    def one_live_attempt(self) -> None:
        """An attached agent holds a job only while it is the live attempt."""
        live = self.run.machine.live
        for job_id, agent in self.open.items():
            if agent in self.run.agents and not (live and live.shared):
                assert live is not None
                assert (live.job_id, live.agent) == (job_id, agent)

    @invariant()
    def ends_in_time(self) -> None:
        """Ended by the deadline, with a result unless the caller has gone; else, a next time."""
        machine = self.run.machine
        if self.run.now >= DEADLINE:
            assert machine.state is State.ENDED
        if machine.state is State.ENDED:
            assert machine.live is None
            assert machine.next_deadline() is None
            assert self.cancelled or machine.result is not None
        else:
            due = machine.next_deadline()
            assert due is not None
            assert self.run.now < due <= DEADLINE
            assert machine.state is not State.SEEKING


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
