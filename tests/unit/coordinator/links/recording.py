"""What a link reports, recorded, and a link that reports to it."""

import asyncio

import structlog
from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.link import (
    Admitted,
    AgentLink,
    AgentMessage,
    Rejected,
)
from colotrace_coordinator.links.direct.intake import Intake
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.turns import Turns
from colotrace_proto.messages import (
    Hello,
    Job,
    JobId,
    PacketType,
)
from colotrace_proto.running import RunningClock
from unit.coordinator.scripted_agent import ScriptedAgent

J1 = JobId("j1")


JOB = Job(J1, "t", PacketType.ICMP, 5, 3, 1000, 0, 0, 9000)


Event = tuple[str, AgentKey, Hello | AgentMessage | AgentKey | None]


class RecordingFleet:
    """Admits everybody, or answers as told, and keeps what it hears."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.verdict: Admitted | Rejected = Admitted()
        self.on_attach: list[Job] = []
        self.due: bool | None = True
        self.why, self.revoked, self.was_renamed = "", False, False
        """Why the last attachment ended."""

    def attached(self, hello: Hello, link: AgentLink) -> Admitted | Rejected:
        key = AgentKey.of(hello)
        self.events.put_nowait(("attached", key, hello))
        for job in self.on_attach:
            link.offer(key, job, shared=False)
        return self.verdict

    def frame_due(self, agent: AgentKey, job_id: JobId, size: int) -> bool | None:  # noqa: ARG002
        return self.due

    def heard(self, agent: AgentKey, message: AgentMessage) -> None:
        self.events.put_nowait(("heard", agent, message))

    def detached(
        self, agent: AgentKey, why: str = "", *, revoked: bool = False, renamed: bool = False
    ) -> None:
        self.events.put_nowait(("detached", agent, None))
        self.why, self.revoked, self.was_renamed = why, revoked, renamed

    def renamed(self, former: AgentKey, agent: AgentKey) -> None:
        self.events.put_nowait(("renamed", former, agent))

    async def next(self) -> Event:
        async with asyncio.timeout(20):
            return await self.events.get()


def make(
    fleet: RecordingFleet,
    *,
    heartbeat_s: float = 5.0,
    hello_s: float = 5.0,
    intake: Intake | None = None,
) -> DirectLink:
    return DirectLink(
        fleet,
        host="127.0.0.1",
        port=0,
        tls=None,
        log=structlog.get_logger(),
        clock=RunningClock(),
        turns=Turns(),
        heartbeat_s=heartbeat_s,
        hello_s=hello_s,
        intake=intake,
    )


def key(agent: ScriptedAgent) -> AgentKey:
    return AgentKey.of(agent.hello)
