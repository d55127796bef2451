"""The places for jobs are shared: a backlog of one owner leaves room for the next."""

import pytest
from colotrace_agent.job.slots import Slots
from colotrace_proto.messages import Owner
from colotrace_proto.notices import Notice, NoticeCode

SIZE = 1_000
ONE, OTHER = Owner(1, 1), Owner(2, 2)


def fill(slots: Slots, *owners: Owner | None) -> dict[Owner | None, int]:
    """What each has once none may have more, when they ask in turn."""
    held = dict.fromkeys(owners, 0)
    while asking := [owner for owner in owners if slots.refusal(owner) is None]:
        for owner in asking:
            if slots.refusal(owner) is None:
                slots.take(owner)
                held[owner] += 1
    return held


@pytest.mark.parametrize("size", [1, 2, 5])
def test_owner_of_all_jobs_has_all_of_a_few_places(size: int) -> None:
    assert fill(Slots(size), ONE) == {ONE: size}


def test_full_agent_has_no_place() -> None:
    slots = Slots(1)
    slots.take(ONE)
    assert slots.refusal(OTHER) == Notice(NoticeCode.JOBS_FULL, count=1)
    slots.release(ONE)
    assert slots.refusal(OTHER) is None


@pytest.mark.parametrize("other", [OTHER, Owner(ONE.account, 2), None])
def test_backlog_of_one_owner_leaves_places_for_another(other: Owner | None) -> None:
    """Of another account, of another caller of the account, or of a coordinator of release 0.2."""
    slots = Slots(SIZE)
    held = fill(slots, ONE)[ONE]
    assert SIZE * 0.88 < held < SIZE * 0.9
    assert slots.refusal(ONE) == Notice(NoticeCode.SHARE_OF_JOBS_FULL, count=held)
    for _ in range(50):
        assert slots.refusal(other) is None
        slots.take(other)


def test_callers_of_one_account_leave_places_for_another_account() -> None:
    slots = Slots(SIZE)
    held = fill(slots, *(Owner(1, caller) for caller in range(50)))
    assert SIZE * 0.93 < sum(held.values()) < SIZE * 0.95
    assert slots.refusal(OTHER) is None


def test_owners_with_backlogs_get_equal_parts_in_time() -> None:
    """One had all places. As its jobs end, both ask for each place, and it asks first."""
    slots = Slots(SIZE)
    held = {ONE: fill(slots, ONE)[ONE], OTHER: 0}
    for _ in range(SIZE):
        slots.release(ONE)
        held[ONE] -= 1
        for owner in (ONE, OTHER):
            if slots.refusal(owner) is None:
                slots.take(owner)
                held[owner] += 1
    assert held[OTHER] == pytest.approx(held[ONE], rel=0.05)


def test_owners_are_counted_while_they_have_jobs() -> None:
    slots = Slots(SIZE)
    for number in range(SIZE):
        slots.take(Owner(number, number))
    assert slots.owners == 2 * SIZE
    for number in range(SIZE):
        slots.release(Owner(number, number))
    assert slots.owners == 0
