"""Which job starts next: pure, `now` in seconds.

A job starts once there is room for it in three places: at this coordinator (`room` jobs run at
most), at the agents of its colo, and in the rate of packets to its target. Jobs wait in one fair
queue; those whose colo or target has no room wait aside, in a fair queue of that colo or target,
and do not hold up the others. The same shares hold for the slots of a colo's agents as for the room
at this coordinator, so that one caller's jobs leave some for the next caller's.
"""

import enum
import heapq
import math
import sys
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from colotrace_proto.identifiers import address_of
from colotrace_proto.messages import ColoName

from colotrace_coordinator.peers.counts import Counts

from .fair import FairQueue, Origin, Running
from .target_rates import Target, TargetRates

J = TypeVar("J", bound=Hashable)


class Gate(enum.Enum):
    """What a job waits for: room at this coordinator, at the agents of its colo, or in the rate of
    packets to its target."""

    COORDINATOR = "coordinator"
    COLO = "colo"
    TARGET = "target"


class Wish(NamedTuple):
    """Where a job comes from, what it uses, and since when it waits. `packets` are those that
    count for the target."""

    origin: Origin
    colo: ColoName
    target: Target
    packets: int
    since: float = 0.0

    @property
    def gate(self) -> "TargetGate":
        """Whose packets the job's are, and where they go."""
        return self.origin.account, self.target


TargetGate = tuple[str, Target]
"""An account and a target."""


class _Colo(Generic[J]):
    """The running jobs of a colo, and those that wait for room at its agents."""

    def __init__(self, all_running: Running[J]) -> None:
        self.running: Running[J] = Running(part_of=all_running)
        self.waiting: FairQueue[J] = FairQueue(self.running)


class Starts(Generic[J]):
    """The waiting and the running jobs. `slots`: how many jobs the agents of a colo may run;
    `may_offer`: whether one of them may be offered a job now."""

    def __init__(
        self,
        *,
        rates: TargetRates,
        slots: Callable[[ColoName], int],
        may_offer: Callable[[ColoName], bool] = lambda _: True,
    ) -> None:
        self._rates = rates
        self._slots = slots
        self._may_offer = may_offer
        self._running: Running[J] = Running()
        self._queue: FairQueue[J] = FairQueue(self._running)
        self._colos: dict[ColoName, _Colo[J]] = {}
        self._of_target: dict[TargetGate, FairQueue[J]] = {}
        # When the rate of each gate in `_of_target` is to be looked at again. Entries of the heap
        # with another time than in the dictionary are stale.
        self._opens: list[tuple[float, TargetGate]] = []
        self._opens_at: dict[TargetGate, float] = {}
        self._wishes: dict[J, Wish] = {}
        self._started: dict[J, Wish] = {}
        self._limited_at: dict[J, float] = {}
        # How long a job waited until it was first looked at.
        self._delayed_s: dict[J, float] = {}

    @property
    def waiting(self) -> int:
        """Jobs that have not started."""
        return len(self._wishes)

    def waiting_for(self, gate: Gate) -> int:
        """Jobs that wait for this. May be called from another thread."""
        match gate:
            case Gate.COORDINATOR:
                return len(self._queue)
            case Gate.COLO:
                return sum(len(colo.waiting) for colo in list(self._colos.values()))
            case Gate.TARGET:
                return sum(map(len, list(self._of_target.values())))

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
            if self._admit(job, now):
                return job
        return None

    def pop_sibling(self, job: J, now: float) -> J | None:
        """The next job to start, which counts as running from now on, if it is of the same request
        and colo as a job that has started; else None."""
        wish = self._started.get(job)
        sibling = self._queue.first(wish.origin) if wish is not None else None
        if wish is None or sibling is None or self._wishes[sibling].colo != wish.colo:
            return None
        self._queue.discard(sibling)
        return sibling if self._admit(sibling, now) else None

    def _admit(self, job: J, now: float) -> bool:
        """Count the job as running if its target and its colo have room; else let it wait there."""
        wish = self._wishes[job]
        self._delayed_s.setdefault(job, now - wish.since)
        opens_at = self._rates.open_at(*wish.gate, now)
        if opens_at > now:
            self._limited_at.setdefault(job, now)
            if wish.gate not in self._of_target:
                self._look_at(wish.gate, opens_at)
                self._of_target[wish.gate] = FairQueue(self._running)
            self._of_target[wish.gate].push(job, wish.origin)
            # It may have been the one for which the colo has room.
            self.colo_has_room(wish.colo)
            return False
        colo = self._colos.get(wish.colo)
        if colo is None:
            colo = self._colos[wish.colo] = _Colo(self._running)
        if not self._may_offer(wish.colo) or not colo.running.admits(
            wish.origin, self._slots(wish.colo)
        ):
            colo.waiting.push(job, wish.origin)
            return False
        self._rates.spend(*wish.gate, wish.packets, now)
        self._running.add(job, wish.origin)
        colo.running.add(job, wish.origin)
        self._started[job] = self._wishes.pop(job)
        if colo.waiting:
            self.colo_has_room(wish.colo)
        return True

    def resolved(self, job: J, address: Target, now: float, *, may_wait: bool) -> bool:
        """The target of a running job, a name, has this address: the job's packets count for the
        address from now on, and no more for the name. If the rate to the address has no room and
        the job `may_wait`, it waits for that instead, and does not count as running; False then."""
        wish = self._started.get(job)
        if wish is None or wish.target == address:
            return True
        if address_of(wish.target) is None:
            self._give_back(wish, wish.packets, now)
        # Otherwise an earlier agent, for which the name had another address, may have probed that.
        wish = wish._replace(target=address)
        if may_wait and self._rates.open_at(*wish.gate, now) > now:
            del self._started[job]
            self._ended(job, wish.colo)
            self._limited_at.setdefault(job, now)
            self.push(job, wish._replace(since=now))
            return False
        self._rates.spend(*wish.gate, wish.packets, now)
        self._started[job] = wish
        return True

    def sent(self, job: J, packets: int, now: float) -> None:
        """A running job has sent so many packets, more or fewer than have been counted."""
        wish = self._started.get(job)
        if wish is None or packets == wish.packets:
            return
        self._give_back(wish, wish.packets - packets, now)
        self._started[job] = wish._replace(packets=packets)

    def waits_for(self, job: J) -> Gate:
        """What a waiting job waits for."""
        wish = self._wishes[job]
        if job in self._of_target.get(wish.gate, ()):
            return Gate.TARGET
        colo = self._colos.get(wish.colo)
        if colo is not None and job in colo.waiting and self._may_offer(wish.colo):
            return Gate.COLO
        return Gate.COORDINATOR

    def next_at(self) -> float:
        """When `pop` may find a job that it does not find now, without another event; infinite if
        that needs one."""
        while self._opens and self._opens_at.get(self._opens[0][1]) != self._opens[0][0]:
            heapq.heappop(self._opens)
        return self._opens[0][0] if self._opens else math.inf

    def limited_s(self, job: J, now: float) -> float:
        """How long ago the rate of its target first held up the job; 0 if it did not."""
        return now - self._limited_at.get(job, now)

    def delayed_s(self, job: J) -> float:
        """How long a job that starts has waited for its turn at this coordinator; told once."""
        return self._delayed_s.pop(job, 0.0)

    def remove(self, job: J) -> None:
        """The job has ended, or will not start."""
        self._delayed_s.pop(job, None)
        self._limited_at.pop(job, None)
        wish = self._wishes.pop(job, None)
        if wish is None:
            started = self._started.pop(job, None)
            if started is not None:
                self._ended(job, started.colo)
        elif not self._queue.discard(job):
            queue = self._of_target.get(wish.gate)
            if queue is not None and queue.discard(job) and not queue:
                del self._of_target[wish.gate]
            colo = self._colos.get(wish.colo)
            if colo is not None and colo.waiting.discard(job):
                self._drop_if_empty(wish.colo)

    def colo_has_room(self, colo: ColoName) -> None:
        """A job of the colo has ended, an offer was answered, or the colo has another agent: the
        next job may start."""
        found = self._colos.get(colo)
        if found is None or not found.waiting or not self._may_offer(colo):
            return
        job = found.waiting.pop(self._slots(colo))
        if job is not None:
            self._queue.push(job, self._wishes[job].origin)
            self._drop_if_empty(colo)

    def _give_back(self, wish: Wish, packets: int, now: float) -> None:
        """So many packets of the job do not count for its target; below 0, so many more do."""
        self._rates.spend(*wish.gate, -packets, now)
        if packets > 0 and wish.gate in self._of_target:
            self._look_at(wish.gate, self._rates.open_at(*wish.gate, now))

    def _ended(self, job: J, colo: ColoName) -> None:
        self._running.remove(job)
        self._colos[colo].running.remove(job)
        self._drop_if_empty(colo)

    def _drop_if_empty(self, colo: ColoName) -> None:
        if not self._colos[colo].running and not self._colos[colo].waiting:
            del self._colos[colo]

    def _open(self, now: float) -> None:
        while self._opens and self._opens[0][0] <= now:
            at, gate = heapq.heappop(self._opens)
            if self._opens_at.get(gate) != at:
                continue
            del self._opens_at[gate]
            opens_at = self._rates.open_at(*gate, now)
            if opens_at <= now:
                queue = self._of_target.get(gate)
                job = queue.pop(sys.maxsize) if queue is not None else None
                if queue is not None and not queue:
                    del self._of_target[gate]
                if job is None:
                    continue
                self._queue.push(job, self._wishes[job].origin)
                # The job will take this much; the next one is looked at after that.
                opens_at = now + self._rates.pause_s(self._wishes[job].packets)
            if gate in self._of_target:
                self._look_at(gate, opens_at)

    def _look_at(self, gate: TargetGate, at: float) -> None:
        self._opens_at[gate] = at
        heapq.heappush(self._opens, (at, gate))
