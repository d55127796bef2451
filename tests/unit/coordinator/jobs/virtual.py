"""A job's machine in virtual time, with agents that only the test moves."""

from itertools import count
from typing import cast

from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.attached import Agent
from colotrace_coordinator.fleet.link import AgentLink
from colotrace_coordinator.jobs.commands import CancelJob, Command, Offer
from colotrace_coordinator.jobs.index import LiveAttempts
from colotrace_coordinator.jobs.machine import JobMachine, State
from colotrace_coordinator.jobs.task import JobResult, Task
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    PROTOCOL_VERSION,
    AgentId,
    ColoName,
    Edge,
    Failure,
    Family,
    Frame,
    JobId,
    Node,
    Outcome,
    PacketType,
    RefusalReason,
    Refused,
    Replies,
)
from colotrace_proto.notices import Notice, NoticeCode
from unit.coordinator.scripted_agent import hello

DEADLINE = 23.5
# No machine sends anything.
LINK = cast("AgentLink", None)
BOTH = frozenset({Family.IPV4, Family.IPV6})


def key(name: str, boot: int = 0) -> AgentKey:
    return AgentKey(AgentId(name), boot.to_bytes(16, "big"))


def replies(lines: int) -> Replies:
    """So many answers, one a TTL, all from one router."""
    return Replies(
        tuple(range(1, lines + 1)), (1_000_000,) * lines, (0,) * lines, (Node(b"\x0a\0\0\x01"),)
    )


def text(words: str) -> Notice | None:
    """A notice of these words."""
    return Notice(NoticeCode.TEXT, reason=words) if words else None


class Clockwork:
    """Drives one machine as the coordinator does: places when it seeks, expires when due."""

    def __init__(
        self,
        *agents: str,
        family: Family | None = None,
        options: Options | None = None,
        start: bool = True,
        shared: bool = False,
        wait_until: float = 0.0,
    ) -> None:
        """`shared`: the link leaves an offer to the colo's agents, where it may. `wait_until`:
        the colo's agents are still coming."""
        self.now = 0.0
        self.shared = shared
        self.blocked = ""
        self.wait_until = wait_until
        self.index: LiveAttempts[JobMachine] = LiveAttempts()
        self.agents: dict[AgentKey, Agent] = {}
        for name in agents:
            self.attach(name, settle=False)
        numbers = count(1)
        self.machine = JobMachine(
            Task(ColoName("den01"), "target", options or Options(max_ttl=5), family),
            deadline=DEADLINE,
            new_job_id=lambda: JobId(f"j{next(numbers)}"),
            index=self.index,
        )
        self.sent: list[Command] = []
        if start:
            self.settle()

    def attach(
        self,
        name: str,
        boot: int = 0,
        *,
        running: int = 0,
        draining: bool = False,
        drained: bool = False,
        away: bool = False,
        packet_types: frozenset[PacketType] = frozenset(PacketType),
        families: frozenset[Family] = BOTH,
        version: int = PROTOCOL_VERSION,
        settle: bool = True,
    ) -> AgentKey:
        who = key(name, boot)
        said = hello(
            name,
            boot=who.boot_id,
            packet_types=packet_types,
            families=families,
            protocol_version=version,
        )
        self.agents[who] = Agent(
            who, said, LINK, self.now, draining=draining, away=away, drained=drained
        )
        for number in range(running):
            self.index.add(JobId(f"{name}{number}"), who, self.machine)
        if settle:
            self.machine.agent_available()
            self.settle()
        return who

    def detach(self, name: str, boot: int = 0) -> None:
        """The agent's stream is gone."""
        who = key(name, boot)
        self.agents.pop(who, None)
        if self.machine.live is not None and self.machine.live.agent == who:
            self.machine.stream_lost(self.now)
            self.settle()

    def back(self, name: str, *held: JobId) -> None:
        """The same process attaches again."""
        who = self.attach(name, settle=False)
        if self.machine.live is not None and self.machine.live.agent == who:
            self.machine.stream_back(self.now, held, offers_lost=not self.shared)
        self.settle()

    def heard(self, name: str) -> None:
        self.agents[key(name)].heard_at = self.now

    def settle(self) -> None:
        if self.machine.state is State.SEEKING:
            self.machine.place(
                self.now,
                list(self.agents.values()),
                blocked=self.blocked,
                wait_until=self.wait_until,
            )
        for command in self.machine.take_commands():
            self.sent.append(command)
            if isinstance(command, Offer) and command.shared and self.shared:
                self.machine.published()

    def until(self, now: float) -> None:
        """Let time pass, doing what falls due on the way."""
        while (due := self.machine.next_deadline()) is not None and due <= now:
            self.now = max(self.now, due)
            self.machine.expire(self.now, list(self.agents.values()), blocked=self.blocked)
            self.settle()
        self.now = now

    @property
    def job_id(self) -> JobId:
        assert self.machine.live is not None
        return self.machine.live.job_id

    @property
    def holder(self) -> str:
        """The agent that has the live attempt."""
        assert self.machine.live is not None
        return self.machine.live.agent.agent_id

    @property
    def offers(self) -> list[str]:
        return [c.agent.agent_id for c in self.sent if isinstance(c, Offer)]

    @property
    def cancels(self) -> list[tuple[str, str]]:
        return [(c.agent.agent_id, c.job_id) for c in self.sent if isinstance(c, CancelJob)]

    def accept(self) -> None:
        assert self.machine.live is not None
        self.machine.accepted(self.now, self.machine.live.agent)
        self.settle()

    def accept_by(self, name: str) -> None:
        """Of an offer that was left to anyone."""
        self.machine.accepted(self.now, key(name))
        self.settle()

    def refuse(self, reason: RefusalReason, words: str = "", *, by: str = "") -> None:
        assert self.machine.live is not None
        agent = key(by) if by else self.machine.live.agent
        self.machine.refused(self.now, agent, Refused(self.job_id, reason, text(words)))
        self.settle()

    def frame(
        self,
        sequence: int,
        lines: int = 0,
        *,
        failure: Failure | None = None,
        words: str = "",
        notices: tuple[Notice, ...] = (),
        links: tuple[Edge, ...] = (),
    ) -> int:
        outcome = (
            Outcome(failure, text(words), duration_ns=7, notices=notices, links=links)
            if failure is not None
            else None
        )
        frame = Frame(
            self.job_id, sequence, b"\x08" * 4, (1,) * max(lines, 1), replies(lines), outcome
        )
        acknowledged = self.machine.frame(self.now, frame)
        self.settle()
        return acknowledged

    @property
    def result(self) -> JobResult:
        assert self.machine.state is State.ENDED, self.machine.state
        assert self.machine.result is not None
        return self.machine.result

    @property
    def failed(self) -> tuple[int, str]:
        """The code and the words of the failure."""
        fault = self.result.fault
        assert fault is not None
        return fault.code, fault.words
