"""Jobs under way, and their callers' parts in them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from colotrace_proto.messages import JobId
from colotrace_proto.running import RunningTimer
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.fleet.agents import AgentKey

from .machine import JobMachine
from .task import Finished, Task


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What makes two jobs the same."""

    account_id: str
    task: Task


@dataclass(slots=True, eq=False)
class Run:
    """A job under way. `began_at` is on the loop's clock, the other instants on the running
    clock."""

    spec: JobSpec
    machine: JobMachine
    done: asyncio.Future[Finished]
    began_at: float
    deadline: float
    callers: int = 0
    offers: int = 0
    # Where the machine's live attempt is entered in the registry and the index.
    entered: tuple[AgentKey, JobId] | None = None
    due: float | None = None
    timer: RunningTimer | None = None
    log: FilteringBoundLogger = field(kw_only=True)


class Ticket:
    """One caller's part in a job.

    `done` is shared with other callers: wait for it (`asyncio.wait`), never cancel it.
    """

    def __init__(self, done: asyncio.Future[Finished], leave: Callable[[], None]) -> None:
        self.done = done
        self._leave: Callable[[], None] | None = leave

    def leave(self) -> None:
        """The caller needs the job no longer; the last one's leaving takes it back."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
