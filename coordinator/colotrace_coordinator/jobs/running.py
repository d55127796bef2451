"""Jobs that are running, and their callers' shares in them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from colotrace_proto.running import RunningTimer

from .fair import Origin
from .faults import Fault
from .machine import JobMachine
from .task import JobResult, Task


class JobKey(NamedTuple):
    """What makes two jobs identical."""

    account_id: str
    task: Task


@dataclass(slots=True, eq=False)
class LiveJob:
    """A job that has not ended: its machine, and what the dispatcher needs to drive it.

    `began_at` is on the loop's clock, `due` (of `timer`) on the running clock.
    """

    key: JobKey
    origin: Origin
    """The request that began it; others may share it."""
    machine: JobMachine
    done: asyncio.Future[JobResult]
    began_at: float
    started: bool = False
    """Whether it was its turn; see `starts`."""
    behind_s: float = 0.0
    """By how much the running clock was behind when the deadline was last corrected."""
    limited_s: float = 0.0
    """How long the limit of packets to its target delayed it."""
    callers: int = 0
    due: float | None = None
    timer: RunningTimer | None = None
    watchers: set[Callable[[], None]] = field(default_factory=set)
    """Called after each new frame."""


class Ticket:
    """One caller's share in a job.

    `done` is shared with other callers: wait for it (`asyncio.wait`), never cancel it.
    """

    def __init__(self, job: LiveJob, leave: Callable[[], None], now: Callable[[], float]) -> None:
        self.done = job.done
        self._job = job
        self._now = now
        self._leave: Callable[[], None] | None = leave
        self._watcher: Callable[[], None] | None = None

    def withdrawn(self, fault: Fault) -> JobResult:
        """The result if the job ended now, with this fault."""
        return self._job.machine.withdrawn(fault)

    def so_far(self) -> JobResult:
        """What there is of a result; see `Attempts.so_far`."""
        return self._job.machine.so_far(self._now())

    def watch(self, progressed: Callable[[], None]) -> None:
        """Call `progressed` after each frame of the job that is new."""
        self._watcher = progressed
        self._job.watchers.add(progressed)

    def leave(self) -> None:
        """Give up the share; when the last caller leaves, the job is cancelled."""
        leave, self._leave = self._leave, None
        if self._watcher is not None:
            self._job.watchers.discard(self._watcher)
            self._watcher = None
        if leave is not None:
            leave()
