"""Jobs that wait to be offered, and the order in which they are: pure.

The next job is that of the account with the fewest jobs running at all coordinators; within the
account, of the caller with the fewest; within the caller, of the request with the fewest rows left
to start, so that a small request does not wait behind a large one. Each `OLDEST_EVERY`th choice
within a caller takes the oldest request instead, so that none starves.
"""

import heapq
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from colotrace_proto.thresholds import FREE_TIMES_ACCOUNT, FREE_TIMES_CALLER

from colotrace_coordinator.peers.counts import Count

J = TypeVar("J", bound=Hashable)
K = TypeVar("K", bound=Hashable)

OLDEST_EVERY = 4
STALE_TIMES, STALE_MORE = 4, 64
"""Bound of the entries of a caller's heap: so many for each request, and so many more."""
FREE_TIMES_REQUEST = 4
"""A request may hold 4 times as many jobs as are free: 80 % of the room if nobody else wants any.
`thresholds` has how many an account and a caller may hold."""


class Origin(NamedTuple):
    """Where a job comes from. `caller` is a credential of the account."""

    account: str
    caller: str
    request: int
    """Unique, and larger for a later request."""


class _Caller(Generic[J]):
    """The waiting jobs of a caller, by request."""

    def __init__(self) -> None:
        self.jobs: dict[int, deque[J]] = {}
        """Oldest request first."""
        self._taken = 0
        # (Rows left, request); entries whose number of rows has changed are stale.
        self._smallest: list[tuple[int, int]] = []

    def push(self, job: J, request: int) -> None:
        jobs = self.jobs.setdefault(request, deque())
        jobs.append(job)
        self._note(request)

    def order(self) -> Iterator[int]:
        """The requests, best first."""
        if self._taken % OLDEST_EVERY == OLDEST_EVERY - 1:
            yield from tuple(self.jobs)
            return
        while self._left(first := self._smallest[0][1]) != self._smallest[0][0]:
            heapq.heappop(self._smallest)
        yield first
        rest = (request for request in self.jobs if request != first)
        yield from sorted(rest, key=lambda request: (self._left(request), request))

    def pop(self, request: int) -> J:
        job = self.jobs[request][0]
        self._taken += 1
        self.remove(job, request)
        return job

    def remove(self, job: J, request: int) -> None:
        jobs = self.jobs[request]
        jobs.remove(job)
        if jobs:
            self._note(request)
        else:
            del self.jobs[request]

    def _note(self, request: int) -> None:
        """Enter the request's number of rows, which has changed."""
        heapq.heappush(self._smallest, (self._left(request), request))
        if len(self._smallest) > STALE_TIMES * len(self.jobs) + STALE_MORE:
            self._smallest = [(self._left(each), each) for each in self.jobs]
            heapq.heapify(self._smallest)

    def _left(self, request: int) -> int:
        return len(self.jobs.get(request, ()))


class FairQueue(Generic[J]):
    """Waiting jobs. `running` are the jobs that count against the room."""

    def __init__(self, running: "Running[J]") -> None:
        self._running = running
        self._waiting: dict[str, dict[str, _Caller[J]]] = {}
        self._origins: dict[J, Origin] = {}

    def __len__(self) -> int:
        return len(self._origins)

    def __contains__(self, job: J) -> bool:
        return job in self._origins

    def push(self, job: J, origin: Origin) -> None:
        """Let a job wait, behind those of the same request."""
        callers = self._waiting.setdefault(origin.account, {})
        callers.setdefault(origin.caller, _Caller()).push(job, origin.request)
        self._origins[job] = origin

    def pop(self, room: int) -> J | None:
        """Take out the next job; None if none may start while the room is for `room` jobs."""
        origin = next(self._order(room), None)
        if origin is None:
            return None
        account, name, request = origin
        job = self._waiting[account][name].pop(request)
        self._forget(job)
        return job

    def first(self, origin: Origin) -> J | None:
        """The job of this request that has waited longest."""
        caller = self._waiting.get(origin.account, {}).get(origin.caller)
        jobs = caller.jobs.get(origin.request) if caller is not None else None
        return jobs[0] if jobs else None

    def discard(self, job: J) -> bool:
        """Take a job out; False if it does not wait."""
        origin = self._origins.get(job)
        if origin is None:
            return False
        self._waiting[origin.account][origin.caller].remove(job, origin.request)
        self._forget(job)
        return True

    def _order(self, room: int) -> Iterator[Origin]:
        """The requests whose next job may start, best first."""
        held = self._running
        free = room - len(held)
        for account in sorted(self._waiting, key=held.everywhere):
            if held.of_account(account) >= FREE_TIMES_ACCOUNT * free:
                continue
            callers = self._waiting[account]
            for name in sorted(callers, key=lambda name: held.of_caller(account, name)):
                if held.of_caller(account, name) >= FREE_TIMES_CALLER * free:
                    break
                for request in callers[name].order():
                    if held.of_request(request) < FREE_TIMES_REQUEST * free:
                        yield Origin(account, name, request)

    def _forget(self, job: J) -> None:
        account, name, _ = self._origins.pop(job)
        callers = self._waiting[account]
        if not callers[name].jobs:
            del callers[name]
        if not callers:
            del self._waiting[account]


class Running(Generic[J]):
    """Jobs that run, counted by account, caller and request. Implements `peers.counts.Counts`:
    jobs of an account that other coordinators run count as well."""

    def __init__(self, *, part_of: "Running[J] | None" = None) -> None:
        """`part_of`: these are some of its jobs, for which other coordinators' count, too."""
        self._whole = self if part_of is None else part_of
        self._origins: dict[J, Origin] = {}
        self._accounts: Counter[str] = Counter()
        self._callers: Counter[tuple[str, str]] = Counter()
        self._requests: Counter[int] = Counter()
        self._unreported: set[str] = set()
        self._elsewhere: dict[str, dict[str, int]] = {}
        """By coordinator and account."""
        self._accounts_elsewhere: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._origins)

    def add(self, job: J, origin: Origin) -> None:
        """The job starts."""
        self._origins[job] = origin
        self._accounts[origin.account] += 1
        self._unreported.add(origin.account)
        self._callers[origin.account, origin.caller] += 1
        self._requests[origin.request] += 1

    def remove(self, job: J) -> None:
        """The job has ended. One that did not run is ignored."""
        origin = self._origins.pop(job, None)
        if origin is None:
            return
        self._unreported.add(origin.account)
        _less(self._accounts, origin.account)
        _less(self._callers, (origin.account, origin.caller))
        _less(self._requests, origin.request)

    def of_account(self, account: str) -> int:
        """The account's running jobs at this coordinator."""
        return self._accounts.get(account, 0)

    def everywhere(self, account: str) -> int:
        """The account's running jobs, with all those at other coordinators."""
        return self._accounts.get(account, 0) + self._whole.elsewhere(account)

    def elsewhere(self, account: str) -> int:
        """The account's running jobs at other coordinators."""
        return self._accounts_elsewhere.get(account, 0)

    def of_caller(self, account: str, caller: str) -> int:
        """The caller's running jobs."""
        return self._callers.get((account, caller), 0)

    def of_request(self, request: int) -> int:
        """The request's running jobs."""
        return self._requests.get(request, 0)

    def admits(self, origin: Origin, room: int) -> bool:
        """Whether one more job of the origin may run while the room is for `room` jobs."""
        free = room - len(self._origins)
        return (
            self.of_account(origin.account) < FREE_TIMES_ACCOUNT * free
            and self.of_caller(origin.account, origin.caller) < FREE_TIMES_CALLER * free
            and self.of_request(origin.request) < FREE_TIMES_REQUEST * free
        )

    # Counts of all coordinators

    key_parts = 1

    def changes(self, now: float) -> Iterator[Count]:  # noqa: ARG002
        """See `Counts`: the numbers, not the differences, so that a lost report is made good."""
        unreported, self._unreported = self._unreported, set()
        for account in unreported:
            yield Count((account,), self._accounts.get(account, 0))

    def everything(self) -> Iterator[Count]:
        """See `Counts`."""
        for account, number in self._accounts.items():
            yield Count((account,), number)

    def heard(self, origin: str, count: Count, now: float, *, whole: bool) -> None:  # noqa: ARG002
        """See `Counts`."""
        account, accounts = count.key[0], self._elsewhere.setdefault(origin, {})
        number = max(count.number, 0)
        self._accounts_elsewhere[account] += number - accounts.pop(account, 0)
        if number:
            accounts[account] = number
        if not self._accounts_elsewhere[account]:
            del self._accounts_elsewhere[account]

    def gone(self, origin: str) -> None:
        """See `Counts`: its jobs have ended with it."""
        self._accounts_elsewhere -= Counter(self._elsewhere.pop(origin, {}))


def _less(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
