"""The order of jobs that wait for a packet budget."""

import pytest
from colotrace_agent.engine.limits.shares import FairQueue, Share
from colotrace_proto.messages import Owner


def share(account: int, caller: int = 0, *, taken: int = 0) -> Share[None]:
    made: Share[None] = Share(Owner(account, caller))
    made.taken = taken
    return made


def test_empty_queue_has_no_head() -> None:
    queue: FairQueue[None] = FairQueue()
    assert not queue
    assert queue.head() is None
    with pytest.raises(LookupError):
        queue.pop()


def test_jobs_of_an_owner_go_by_the_probes_they_have_taken() -> None:
    """Of equal ones the youngest is next."""
    queue: FairQueue[None] = FairQueue()
    later, first, second = share(1, taken=9), share(1), share(1)
    for each in (later, first, second):
        queue.push(each)
    assert [queue.pop() for _ in range(3)] == [second, first, later]
    assert not queue


def test_owner_that_has_sent_less_is_next() -> None:
    """Also while it waits already."""
    queue: FairQueue[None] = FairQueue()
    shares = [share(account) for account in (1, 1, 2, 2)]
    for each in shares:
        queue.push(each)
    accounts = []
    for _ in range(4):
        taken = queue.pop()
        queue.spent(taken, 12)
        accounts.append(taken.owner.account)
    assert accounts in ([1, 2, 1, 2], [2, 1, 2, 1], [1, 2, 2, 1], [2, 1, 1, 2])


def test_owners_are_remembered_while_they_have_jobs() -> None:
    """So their number is bounded by that of jobs, whatever a coordinator sends."""
    queue: FairQueue[None] = FairQueue()
    kept = share(1, 1)
    queue.push(kept)
    for number in range(1_000):
        passing = share(number, number)
        queue.push(passing)
        while queue.pop() is not passing:
            pass
        queue.spent(passing, 12)
        del passing
    assert queue.owners == 2


def test_owner_that_has_just_sent_keeps_its_place_between_two_waits() -> None:
    """A job leaves the queue while it sends: its owner does not begin anew each time."""
    queue: FairQueue[None] = FairQueue()
    single, other = share(1), share(2)
    queue.push(other)
    queue.push(single)
    sent = {1: 0, 2: 0}
    for _ in range(100):
        taken = queue.pop()
        queue.spent(taken, 12 if taken is single else 4)
        sent[taken.owner.account] += 12 if taken is single else 4
        queue.push(taken)
    assert abs(sent[1] - sent[2]) <= 12
