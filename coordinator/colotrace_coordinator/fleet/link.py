"""The seam between the coordinator's jobs and a transport to agents.

A link takes commands for agents (`AgentLink`) and reports what happens to them (`StreamEvents`,
`FleetEvents`). Neither side waits: a command is queued, and an event is handled before the call
returns. A link reports an agent's events in their order; all others lie between `attached` and
`detached`.

`Accepted` may come from another agent of the colo than the one that was offered the job: a link may
publish an offer to all agents of the colo. The agent that accepts has the job.
"""

import enum
from dataclasses import dataclass
from typing import Protocol

from colotrace_proto.messages import (
    Accepted,
    Ack,
    Capabilities,
    Draining,
    Frame,
    Heartbeat,
    Hello,
    Job,
    JobId,
    Refused,
)

from .agents import AgentKey

AgentMessage = Heartbeat | Draining | Accepted | Refused | Frame | Capabilities

MAX_FRAME_BYTES = 1024 * 1024
"""Largest frame, and largest message that a link receives."""


class Closing(enum.Enum):
    """Why the coordinator ends an agent's attachment."""

    SUPERSEDED = "superseded"
    """A later process attached with the agent's id; this one must not reconnect by itself."""
    RESYNC = "resync"
    """Frames are missing; the agent attaches again and resumes."""


class Rejection(enum.Enum):
    """Why an agent cannot attach."""

    SUPERSEDED = "superseded"
    FULL = "full"
    UNFIT = "unfit"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The agent is attached. Of the jobs that it holds, these go on after the acknowledged
    sequence."""

    wanted_jobs: tuple[Ack, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The agent is not attached; `detail` is the reason as text."""

    reason: Rejection
    detail: str


class AgentLink(Protocol):
    """Commands to the agents that are attached through one transport.

    A command for an agent that has just detached is dropped: its end is an event of its own.
    """

    def offer(self, agent: AgentKey, job: Job, *, shared: bool) -> bool:
        """Offer the job to the agent; if `shared`, any agent of the colo may take it instead.

        Returns True if the job was published to the colo's shared topic.
        """

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:
        """Cancel a job."""

    def ack(self, agent: AgentKey, ack: Ack, *, at_once: bool = False) -> None:
        """Acknowledge a job's frames; acknowledgements may be coalesced unless `at_once`."""

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:
        """End the attachment."""


class StreamEvents(Protocol):
    """Reports of the agents that have a stream."""

    def attached(self, hello: Hello, link: AgentLink) -> Admitted | Rejected:
        """An agent asks to attach, for the first time or again.

        Offers to it may be made before this returns; the link sends them after its Welcome.
        """

    def frame_due(self, agent: AgentKey, job_id: JobId, size: int) -> bool | None:
        """Whether the agent's job can yield a frame of `size` bytes; None if the agent has no such
        job. Asked once for each frame before it is decoded. False gives up the job's attempt."""

    def heard(self, agent: AgentKey, message: AgentMessage) -> None:
        """An attached agent sent a message."""

    def detached(
        self, agent: AgentKey, why: str = "", *, revoked: bool = False, renamed: bool = False
    ) -> None:
        """The attachment has ended, whichever side ended it. The agent may attach again, unless it
        was `revoked`. If it was `renamed`, it does so at once. `why` is the reason as text; "" if
        the agent or its connection ended it."""

    def renamed(self, former: AgentKey, agent: AgentKey) -> None:
        """A process that was detached as renamed is about to attach under its new name; its jobs
        move there."""


class FleetEvents(StreamEvents, Protocol):
    """Reports of a link that knows of agents without a stream, through a broker."""

    def attached(
        self, hello: Hello, link: AgentLink, *, offers_lost: bool = True, available: bool = True
    ) -> Admitted | Rejected:
        """See `StreamEvents`. `offers_lost`: unanswered offers can no longer reach the agent.
        `available`: whether an agent that was unknown takes jobs."""

    def reachable(self, hello: Hello, link: AgentLink, *, available: bool) -> Rejected | None:
        """The agent can be offered jobs, for the first time or again, perhaps without a stream.
        Offers that it has not answered are lost; jobs that it runs may resume.

        Offers to it may be made before this returns.
        """

    def set_available(self, agent: AgentKey, *, available: bool, away: bool = False) -> None:
        """Whether a known agent takes new jobs. `away`: the broker has lost the agent, it did not
        announce that it stops."""

    def interrupted(self, agent: AgentKey, why: str = "") -> None:
        """The stream has ended, but the agent is still known; `attached` or `detached` follows.
        `why`: as for `detached`."""

    def offers_blocked(self, reason: str) -> None:
        """No agent can be offered anything, for this reason; "" once offers are possible again."""
