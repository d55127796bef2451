"""Parts of a pool, and budgets."""

import pytest
from colotrace_coordinator.shares import Shares, TokenBuckets
from hypothesis import given
from hypothesis import strategies as st


def test_holder_has_its_share_and_no_more() -> None:
    shares: Shares[str] = Shares(100, 10)
    assert [shares.take("a") for _ in range(12)] == [True] * 10 + [False] * 2
    assert shares.take("b")
    shares.release("a")
    assert shares.take("a")
    assert (len(shares), shares.held("a"), shares.held("c")) == (11, 10, 0)


@pytest.mark.parametrize("holders", [1, 3, 10])
def test_something_stays_free_however_many_take_all_they_can(holders: int) -> None:
    """The bound of each is far above what there is."""
    shares: Shares[int] = Shares(1000, 1000)
    for _ in range(1000):
        for holder in range(holders):
            shares.take(holder)
    assert len(shares) < 1000
    assert shares.take("a newcomer")  # type: ignore[arg-type]


def test_small_pool_can_be_used_whole_by_many() -> None:
    """Where each takes one."""
    shares: Shares[int] = Shares(50, 10)
    assert all(shares.take(holder) for holder in range(50))
    assert not shares.take(51)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_counts_hold(steps: list[tuple[int, bool]]) -> None:
    shares: Shares[int] = Shares(20, 8)
    held = [0] * 6
    for holder, takes in steps:
        if takes:
            held[holder] += shares.take(holder)
        elif held[holder]:
            shares.release(holder)
            held[holder] -= 1
        assert max(held) <= 8
        assert sum(held) == len(shares) <= 20


def test_budget_refills() -> None:
    budgets: TokenBuckets[str] = TokenBuckets(rate=10, burst=30)
    assert [budgets.spend("a", 10, 0.0) for _ in range(4)] == [True, True, True, False]
    assert budgets.spend("b", 30, 0.0)
    assert not budgets.spend("a", 10, 0.9)
    assert budgets.spend("a", 10, 1.0)
    budgets.credit("a", 1000, 1.0)
    assert budgets.spend("a", 30, 1.0)
    assert not budgets.spend("a", 1, 1.0)


def test_budget_that_was_emptied_stays_so_for_its_time() -> None:
    budgets: TokenBuckets[str] = TokenBuckets(rate=10, burst=30)
    budgets.empty("a", 0.0, for_s=10)
    assert not budgets.spend("a", 1, 10.0)
    assert budgets.spend("a", 1, 10.2)
