"""Which job starts next: pure, `now` in seconds.

A job starts once there is room for it in three places: at this coordinator (`room` jobs run at
most), at the agents of its colo, and in the rate of packets to its target. Jobs wait in one fair
queue; those whose colo or target has no room wait aside, in a fair queue of that colo or target,
and do not hold up the others.
"""

import enum
import heapq
import sys
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from colotrace_proto.messages import ColoName

from colotrace_coordinator.peers.counts import Counts

from .fair import FairQueue, Origin, Running
from .target_rates import Target, TargetRates

J = TypeVar("J", bound=Hashable)
G = TypeVar("G", bound=Hashable)


class Gate(enum.Enum):
    """What a job waits for: room at this coordinator, at the agents of its colo, or in the rate of
    packets to its target."""

    COORDINATOR = "coordinator"
    COLO = "colo"
    TARGET = "target"


class Wish(NamedTuple):
    """A job that waits: where it comes from, and what it will use."""

    origin: Origin
    colo: ColoName
    target: Target
    packets: int


class Starts(Generic[J]):
    """The waiting and the running jobs. `has_room`: whether the agents of a colo have room."""

    def __init__(self, *, rates: TargetRates, has_room: Callable[[ColoName], bool]) -> None:
        self._rates = rates
        self._has_room = has_room
        self._running: Running[J] = Running()
        self._queue: FairQueue[J] = FairQueue(self._running)
        self._of_colo: dict[ColoName, FairQueue[J]] = {}
        self._of_target: dict[tuple[str, Target], FairQueue[J]] = {}
        # When the rate of each (account, target) in `_of_target` is to be looked at again.
        self._opens: list[tuple[float, tuple[str, Target]]] = []
        self._wishes: dict[J, Wish] = {}
        self._spread: set[J] = set()

    @property
    def waiting(self) -> int:
        """Jobs that have not started."""
        return len(self._wishes)

    @property
    def running(self) -> int:
        """Jobs that have started and not ended."""
        return len(self._running)

    @property
    def counts(self) -> Counts:
        """The running jobs of each account, for other coordinators."""
        return self._running

    def push(self, job: J, wish: Wish) -> None:
        """Let a job wait."""
        self._wishes[job] = wish
        self._queue.push(job, wish.origin)

    def pop(self, now: float, room: int) -> J | None:
        """The next job to start, which counts as running from now on; None if none can now. At most
        `room` jobs run at this coordinator."""
        self._open(now)
        while (job := self._queue.pop(room)) is not None:
            wish = self._wishes[job]
            gate = (wish.origin.account, wish.target)
            opens_at = self._rates.open_at(*gate, now)
            if opens_at > now:
                self._spread.add(job)
                if gate not in self._of_target:
                    heapq.heappush(self._opens, (opens_at, gate))
                self._aside(self._of_target, gate, job, wish)
            elif not self._has_room(wish.colo):
                self._aside(self._of_colo, wish.colo, job, wish)
            else:
                self._rates.spend(*gate, wish.packets, now)
                self._running.add(job, wish.origin)
                del self._wishes[job]
                return job
        return None

    def waits_for(self, job: J) -> Gate:
        """What a waiting job waits for."""
        wish = self._wishes[job]
        gate = (wish.origin.account, wish.target)
        if gate in self._of_target and job in self._of_target[gate]:
            return Gate.TARGET
        if wish.colo in self._of_colo and job in self._of_colo[wish.colo]:
            return Gate.COLO
        return Gate.COORDINATOR

    def next_at(self) -> float | None:
        """When `pop` may find a job that it does not find now, without another event."""
        return self._opens[0][0] if self._opens else None

    def was_spread(self, job: J) -> bool:
        """Whether the job had to wait for the rate of its target. Asked once."""
        spread = job in self._spread
        self._spread.discard(job)
        return spread

    def remove(self, job: J) -> None:
        """The job has ended, or will not start."""
        self._spread.discard(job)
        wish = self._wishes.pop(job, None)
        if wish is None:
            self._running.remove(job)
        elif not self._queue.discard(job):
            gate = (wish.origin.account, wish.target)
            _discard(self._of_target, gate, job)
            _discard(self._of_colo, wish.colo, job)

    def colo_has_room(self, colo: ColoName) -> None:
        """A job of the colo has ended, or it has another agent: the next job may start."""
        self._back(self._of_colo, colo)

    def _open(self, now: float) -> None:
        while self._opens and self._opens[0][0] <= now:
            _, gate = heapq.heappop(self._opens)
            opens_at = self._rates.open_at(*gate, now)
            if opens_at <= now:
                job = self._back(self._of_target, gate)
                if job is None:
                    continue
                # The job will take this much; the next one is looked at after that.
                opens_at = now + self._rates.pause_s(self._wishes[job].packets)
            if gate in self._of_target:
                heapq.heappush(self._opens, (opens_at, gate))

    def _back(self, aside: dict[G, FairQueue[J]], gate: G) -> J | None:
        """Let the next job of a gate wait with the others again."""
        queue = aside.get(gate)
        job = queue.pop(sys.maxsize) if queue is not None else None
        if queue is not None and not queue:
            del aside[gate]
        if job is not None:
            self._queue.push(job, self._wishes[job].origin)
        return job

    @staticmethod
    def _aside(aside: dict[G, FairQueue[J]], gate: G, job: J, wish: Wish) -> None:
        if gate not in aside:
            aside[gate] = FairQueue(Running())
        aside[gate].push(job, wish.origin)


def _discard(aside: dict[G, FairQueue[J]], gate: G, job: J) -> None:
    queue = aside.get(gate)
    if queue is not None and queue.discard(job) and not queue:
        del aside[gate]
