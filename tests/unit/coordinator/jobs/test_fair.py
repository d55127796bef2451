"""The order in which waiting jobs start: fair between accounts, callers and requests."""

import tracemalloc
from collections import Counter

import pytest
from colotrace_coordinator.jobs.fair import FairQueue, Origin, Running
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

Job = tuple[str, str, int, int]


def job(origin: Origin, number: int = 0) -> Job:
    return (*origin, number)


class Pool:
    """A queue, and the jobs that have started from it."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.running: Running[Job] = Running()
        self.queue: FairQueue[Job] = FairQueue(self.running)

    def ask(self, origin: Origin, rows: int) -> None:
        for number in range(rows):
            self.queue.push(job(origin, number), origin)

    def start(self) -> Job | None:
        started = self.queue.pop(self.room)
        if started is not None:
            self.running.add(started, Origin(*started[:3]))
        return started

    def start_all(self) -> list[Job]:
        return list(iter(self.start, None))


def test_smallest_request_first() -> None:
    """A request of one row passes a request of a hundred that came before it."""
    pool = Pool()
    pool.ask(Origin("a", "t", 1), 100)
    pool.ask(Origin("a", "t", 2), 1)
    assert pool.start() == ("a", "t", 2, 0)


def test_rows_of_a_request_start_in_their_order() -> None:
    pool = Pool()
    pool.ask(Origin("a", "t", 1), 5)
    assert [number for *_, number in pool.start_all()] == [0, 1, 2, 3, 4]


def test_large_request_is_not_starved() -> None:
    """Small requests that keep coming leave every fourth start to the oldest."""
    pool = Pool()
    pool.ask(Origin("a", "t", 1), 50)
    started: Counter[bool] = Counter()
    for request in range(2, 102):
        pool.ask(Origin("a", "t", request), 1)
        one = pool.start()
        assert one is not None
        started[one[2] == 1] += 1
        pool.running.remove(one)
    assert started[True] == 25


def test_accounts_take_turns() -> None:
    """Whatever the number of their requests and callers."""
    pool = Pool()
    for request in range(100):
        pool.ask(Origin("many", f"t{request % 7}", request), 10)
    pool.ask(Origin("one", "t", 1_000), 20)
    accounts = Counter(account for account, *_ in (pool.start() for _ in range(40)))
    assert accounts == {"many": 20, "one": 20}


def test_callers_of_an_account_take_turns() -> None:
    pool = Pool()
    for request in range(100):
        pool.ask(Origin("a", "busy", request), 10)
    pool.ask(Origin("a", "other", 1_000), 20)
    callers = Counter(caller for _, caller, *_ in (pool.start() for _ in range(40)))
    assert callers == {"busy": 20, "other": 20}


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (Origin("a", "t", 2), "a second request"),
        (Origin("a", "u", 2), "another caller"),
        (Origin("b", "t", 2), "another account"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_room_is_left_for(late: Origin, expected: str) -> None:
    """One request cannot take all the room, even if nobody else wants any at first."""
    del expected
    pool = Pool(room=100)
    pool.ask(Origin("a", "t", 1), 1_000)
    assert len(pool.start_all()) == 80
    pool.ask(late, 1)
    assert pool.start() == job(late)


def test_a_caller_with_many_requests_leaves_room() -> None:
    """A thousand requests of one row hold 89 % of the room; another caller's row starts."""
    pool = Pool(room=100)
    for request in range(1_000):
        pool.ask(Origin("a", "t", request), 1)
    assert len(pool.start_all()) == 89
    pool.ask(Origin("a", "u", 1_000), 1)
    assert pool.start() == ("a", "u", 1_000, 0)
    for request in range(1_001, 2_000):
        pool.ask(Origin("a", f"u{request}", request), 1)
    assert len(pool.running) + len(pool.start_all()) == 95
    pool.ask(Origin("b", "t", 2_000), 1)
    assert pool.start() == ("b", "t", 2_000, 0)


def test_caller_that_never_pauses_costs_bounded_memory() -> None:
    """A request of one row waits all the time, while larger ones come and go."""
    pool = Pool(room=1)
    pool.ask(Origin("a", "t", 0), 1)
    tracemalloc.start()
    try:
        for request in range(1, 5_000):
            if request == 1_000:
                before, _ = tracemalloc.get_traced_memory()
            pool.ask(Origin("a", "t", request), 3)
            for number in range(3):
                pool.queue.discard(job(Origin("a", "t", request), number))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000


def test_discarded_jobs_do_not_start() -> None:
    pool = Pool()
    pool.ask(Origin("a", "t", 1), 2)
    assert pool.queue.discard(("a", "t", 1, 0))
    assert not pool.queue.discard(("a", "t", 1, 0))
    assert pool.start_all() == [("a", "t", 1, 1)]
    assert len(pool.queue) == 0


class Any(RuleBasedStateMachine):
    """Any order of events: nothing is lost, nothing starts twice, and the room is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(room=20)
        self.waiting: list[Job] = []
        self.started: list[Job] = []
        self.request = 0

    @rule(account=st.sampled_from("ab"), caller=st.sampled_from("tu"), rows=st.integers(1, 12))
    def ask(self, account: str, caller: str, rows: int) -> None:
        self.request += 1
        origin = Origin(account, caller, self.request)
        self.pool.ask(origin, rows)
        self.waiting += [job(origin, number) for number in range(rows)]

    @rule()
    def start(self) -> None:
        started = self.pool.start()
        if started is None:
            assert not self.waiting or self.started
        else:
            self.waiting.remove(started)
            self.started.append(started)

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        ended = data.draw(st.sampled_from(self.started))
        self.started.remove(ended)
        self.pool.running.remove(ended)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(gone)
        assert self.pool.queue.discard(gone)

    @invariant()
    def counts(self) -> None:
        assert len(self.pool.queue) == len(self.waiting)
        assert len(self.pool.running) == len(self.started) <= self.pool.room


TestAny = Any.TestCase
