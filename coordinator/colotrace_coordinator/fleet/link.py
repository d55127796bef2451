"""The seam between the fan-out and whatever carries its words to agents.

A link takes commands (`Link`) and tells what it hears (`Fleet`). Nothing in either waits: a
command is queued, an event is handled before the call returns. A link reports an agent's events
in the order in which they came; between `attached` and `detached` lies everything else of it.

An agent is named by its key throughout. `Accepted` may come from another agent of the colo than
the one that was asked: a link may leave the choice to the agents, and who accepts has the job.
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

AgentSays = Heartbeat | Draining | Accepted | Refused | Frame | Capabilities


class Closing(enum.Enum):
    """Why the coordinator ends an agent's attachment."""

    SUPERSEDED = "superseded"
    """Another process with the agent's id attached later; this one must not come back by itself."""
    RESYNC = "resync"
    """What came in does not fit together; the agent attaches again and resumes."""


class Rejection(enum.Enum):
    """Why an agent cannot attach."""

    SUPERSEDED = "superseded"
    FULL = "full"
    UNFIT = "unfit"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The agent is attached; of the jobs it holds, these go on after the sequence named."""

    wanted_jobs: tuple[Ack, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The agent is not attached, and why in words."""

    reason: Rejection
    detail: str


class Link(Protocol):
    """Takes commands for the agents that are attached through it.

    A command for an agent that has just gone is dropped: its going is an event of its own.
    """

    def offer(self, agent: AgentKey, job: Job, *, anyone: bool) -> bool:
        """Ask the agent to run the job. Where `anyone` says that any of its colo may, the link can
        leave it to them who does: whether it has is returned."""

    def cancel(self, agent: AgentKey, job_id: JobId) -> None:
        """Take a job back."""

    def ack(self, agent: AgentKey, ack: Ack, *, final: bool) -> None:
        """Acknowledge a job's frames; a final one's at once, others' when convenient."""

    def close(self, agent: AgentKey, closing: Closing, detail: str) -> None:
        """End the attachment."""


class Attendance(Protocol):
    """What a link tells of the agents that are attached through it."""

    def attached(self, hello: Hello, link: Link) -> Admitted | Rejected:
        """An agent asks to attach, for the first time or again.

        Offers for it may be made before this returns; the link sends them after its welcome.
        """

    def frame_due(self, agent: AgentKey, job_id: JobId, size: int) -> bool | None:
        """Whether the agent's job can yield a frame of so many bytes, asked once for each before it
        is decoded; None where the agent has no such job. False gives the job up."""

    def heard(self, agent: AgentKey, message: AgentSays) -> None:
        """An attached agent said something."""

    def detached(self, agent: AgentKey) -> None:
        """The agent's attachment has ended, whoever ended it. It may come back."""


class Fleet(Attendance, Protocol):
    """What a link tells that knows more of agents than their streams: see `mqtt`."""

    def attached(
        self, hello: Hello, link: Link, *, offers_lost: bool = True, available: bool = True
    ) -> Admitted | Rejected:
        """See `Attendance`. `offers_lost` says whether an offer that the agent has not answered
        yet can no longer reach it; `available` is how an agent begins that was not known."""

    def there(self, hello: Hello, link: Link, *, available: bool) -> Rejected | None:
        """An agent can be reached, for the first time or again, though its stream may not be up:
        what it was offered and has not answered is lost, what it runs may still come back.

        Offers for it may be made before this returns.
        """

    def available(self, agent: AgentKey, *, now: bool, away: bool = False) -> None:
        """Whether an agent that is known takes new jobs. `away` says that it has not said so
        itself: the broker has lost it."""

    def interrupted(self, agent: AgentKey) -> None:
        """Nothing comes from an agent for the time being, though it is there; `attached` follows,
        or `detached`."""

    def cut_off(self, why: str) -> None:
        """No agent can be offered anything, for that reason; "" where they can be again."""
