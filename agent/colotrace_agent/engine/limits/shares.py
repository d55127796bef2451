"""Whose probes leave next while a packet budget is exhausted: owners share it evenly.

A budget is divided between the accounts that have probes to send, an account's part between its
callers, and a caller's part between its jobs. Nothing is reserved: what one does not use, the
others get. So a backlog of one account delays another account as a single job of it would.

Accounts and callers: start-time fair queueing (Goyal, Vin and Cheng 1996). Each has a virtual time,
which advances by the probes that it has sent; the earliest is next. One that has had nothing to
send gains nothing by that: it begins again at the time of the others.

Jobs: the one that has taken the fewest probes is next, and of equal ones the youngest. So a short
job does not wait for long ones. A job's count is reduced with its age, so that new jobs cannot
starve an old one.

Only accounts and callers with jobs are remembered, so the jobs bound their number.
"""

import heapq
import itertools
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from colotrace_proto.messages import Owner

T = TypeVar("T")

AGEING = 20
"""Probes by which a job's count is reduced, for each second of its age."""
NOBODY = Owner(0, 0)
"""The owner of jobs of which none is known."""

_Key = tuple[float, float, float]


class Share(Generic[T]):
    """One job's share of the packet budgets, and its traces."""

    __slots__ = ("began", "lines", "owner", "taken", "traces")

    def __init__(self, owner: Owner | None = None) -> None:
        self.owner = owner or NOBODY
        self.began = 0
        """When its first trace began; 0 before."""
        self.taken = 0
        """Probes taken so far."""
        self.traces: list[T] = []
        """The traces that have probes to send; the first is next."""
        self.lines: dict[FairQueue[T], _Line[T]] = {}
        """Its caller's line in each queue where it has waited. They last as long as the share."""

    @property
    def turn(self) -> float:
        """Its place among the jobs of its caller; the lowest is next."""
        return self.taken + self.began * AGEING / 1e9


class _Line(Generic[T]):
    """Those that wait below one node of the tree: the agent, an account or a caller."""

    __slots__ = ("__weakref__", "above", "clock", "members", "start")

    def __init__(self, above: "_Line[T] | None" = None) -> None:
        self.above = above
        self.start = 0
        """The virtual time, in the line above, at which its next probe is due."""
        self.clock = 0
        """The virtual time of its members: the start of the one that was served last."""
        # A heap. The time of a line may be lower than its start, which has advanced since.
        self.members: list[tuple[float, int, _Line[T] | Share[T]]] = []


class FairQueue(Generic[T]):
    """The jobs that wait for one budget."""

    def __init__(self) -> None:
        self._all: _Line[T] = _Line()
        self._accounts: WeakValueDictionary[int, _Line[T]] = WeakValueDictionary()
        self._callers: WeakValueDictionary[Owner, _Line[T]] = WeakValueDictionary()
        self._tie = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._all.members)

    @property
    def owners(self) -> int:
        """Accounts and callers that are remembered."""
        return len(self._accounts) + len(self._callers)

    def push(self, share: Share[T]) -> None:
        """Let a job wait. It must not wait here already."""
        line = self._line(share)
        # Of equal ones the youngest is next.
        heapq.heappush(line.members, (share.turn, -next(self._tie), share))
        # A line waits in the one above from its first member on.
        while len(line.members) == 1 and (above := line.above) is not None:
            line.start = max(line.start, above.clock)
            heapq.heappush(above.members, (line.start, -next(self._tie), line))
            line = above

    def head(self) -> Share[T] | None:
        """The job whose turn it is; None if none waits."""
        line = self._all
        while line.members:
            at, tie, member = line.members[0]
            if isinstance(member, Share):
                return member
            if at < member.start:
                heapq.heapreplace(line.members, (member.start, tie, member))
            else:
                line = member
        return None

    def pop(self) -> Share[T]:
        """Take out the `head`, which there must be."""
        share = self.head()
        if share is None:
            raise LookupError("no job waits")
        line = self._line(share)
        heapq.heappop(line.members)
        while not line.members and line.above is not None:
            line = line.above
            heapq.heappop(line.members)
        return share

    def key(self, share: Share[T]) -> _Key:
        """What orders two jobs: the lower is next."""
        line = self._line(share)
        account = line.above or line
        return account.start, line.start, share.turn

    def spent(self, share: Share[T], probes: int) -> None:
        """Charge probes to the job's owner."""
        line = self._line(share)
        while (above := line.above) is not None:
            above.clock = max(above.clock, line.start)
            line.start += probes
            line = above

    def _line(self, share: Share[T]) -> _Line[T]:
        line = share.lines.get(self)
        if line is None:
            owner = share.owner
            line = self._callers.get(owner)
            if line is None:
                account = self._accounts.get(owner.account)
                if account is None:
                    account = self._accounts[owner.account] = _Line(self._all)
                line = self._callers[owner] = _Line(account)
            share.lines[self] = line
        return line
