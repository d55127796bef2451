"""Tests of samples, against values from tables and against counting."""

import itertools
import math
from fractions import Fraction

import pytest
from colotrace_analysis.significance import (
    discoveries,
    fisher,
    fisher_more,
    rank_sum,
    rtt_differs,
    unreached_differs,
)
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000


def ms(*values: float) -> list[int]:
    return [round(value * MS) for value in values]


def hypergeometric(a: int, b: int, c: int, d: int) -> Fraction:
    ways = math.comb(a + c, a) * math.comb(b + d, b)
    return Fraction(ways, math.comb(a + b + c + d, a + b))


def tables(a: int, b: int, c: int, d: int) -> list[tuple[int, Fraction]]:
    """All tables with the same sums, by their first number, in exact fractions."""
    found = []
    for x in range(a + min(b, c) + 1):
        rest = (x, a + b - x, a + c - x, d - a + x)
        if min(rest) >= 0:
            found.append((x, hypergeometric(*rest)))
    return found


def test_fisher_gives_the_lady_tasting_tea() -> None:
    """Fisher, The Design of Experiments (1935), section 8: 3 of 4 cups right."""
    assert fisher_more(3, 1, 1, 3) == pytest.approx(17 / 70)
    assert fisher(3, 1, 1, 3) == pytest.approx(34 / 70)
    assert fisher_more(4, 0, 0, 4) == pytest.approx(1 / 70)


@given(*[st.integers(0, 12)] * 4)
def test_fisher_is_the_sum_over_tables(a: int, b: int, c: int, d: int) -> None:
    own = hypergeometric(a, b, c, d)
    both = sum(p for _, p in tables(a, b, c, d) if p <= own)
    more = sum(p for x, p in tables(a, b, c, d) if x >= a)
    assert fisher(a, b, c, d) == pytest.approx(float(both))
    assert fisher_more(a, b, c, d) == pytest.approx(float(more))


def test_fisher_of_large_tables_is_a_probability() -> None:
    assert 0 < fisher_more(700, 300, 500, 1_500) < 1e-100
    assert fisher(0, 3_000, 0, 0) == 1


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(100, 199), min_size=1, max_size=5, unique=True),
    st.randoms(use_true_random=False),
)
def test_rank_sum_is_the_share_of_orders_as_extreme(
    one: list[int], other: list[int], random: object
) -> None:
    pooled = one + other
    random.shuffle(pooled)  # type: ignore[attr-defined]
    one, other = pooled[: len(one)], pooled[len(one) :]
    expected = len(one) * len(other) / 2

    def off(chosen: tuple[int, ...]) -> float:
        rest = [x for x in pooled if x not in chosen]
        return abs(sum(x > y for x in chosen for y in rest) - expected)

    orders = list(itertools.combinations(pooled, len(one)))
    extreme = sum(off(chosen) >= off(tuple(one)) for chosen in orders)
    assert rank_sum(one, other) == pytest.approx(extreme / len(orders))


def test_ties_make_no_difference() -> None:
    assert rank_sum([5] * 6, [5] * 6) == 1


def test_rank_sum_of_many_samples_is_that_of_the_normal_distribution() -> None:
    one, other = list(range(0, 42, 2)), list(range(15, 57, 2))
    # U is 1 + 2 + … + 13 = 91, its mean 220.5, its deviation sqrt(441 * 43 / 12) = 39.75.
    z = (220.5 - 91) / 39.75
    assert rank_sum(one, other) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


def test_rtt_within_the_floor_does_not_differ() -> None:
    assert not rtt_differs(ms(10, 10.01, 10.02), ms(10.9, 10.91, 10.92))
    assert rtt_differs(ms(10, 10.01, 10.02), ms(11.1, 11.11, 11.12))
    assert not rtt_differs(ms(100, 100.1, 100.2), ms(101.9, 102, 102.1))
    assert rtt_differs(ms(100, 100.1, 100.2), ms(102.9, 103, 103.1))


def test_rtt_within_the_spread_does_not_differ() -> None:
    assert not rtt_differs(ms(10, 20, 30), ms(25, 45, 60))
    # Disjoint, but the gap is no wider than the ranges: one such order in ten is chance.
    assert not rtt_differs(ms(10, 12, 15), ms(18, 20, 24))
    # Wider than each range, but not than both together.
    assert not rtt_differs(ms(10, 12, 15), ms(22, 24, 28))
    assert rtt_differs(ms(10, 12, 15), ms(28, 30, 33))
    assert rtt_differs(ms(28, 30, 33), ms(10, 12, 15))


def test_two_samples_show_nothing() -> None:
    assert not rtt_differs(ms(10, 10), ms(90, 90))


def test_ranks_decide_with_five_samples() -> None:
    assert rtt_differs(ms(10, 12, 15, 17, 19), ms(21, 22, 25, 29, 40))
    assert not rtt_differs(ms(10, 12, 15, 17, 23), ms(21, 22, 25, 29, 40))


def test_silence_differs_from_answers_to_all_probes() -> None:
    assert unreached_differs(lost=0, sent=3, silent=3)
    assert unreached_differs(lost=0, sent=1, silent=1)


def test_silence_after_loss_needs_more_probes() -> None:
    # 2/5 · 3/6 · 4/7 = 0.114
    assert not unreached_differs(lost=1, sent=3, silent=3)
    # 2/12 · 3/13 · … · 11/21 is far below 0.05
    assert unreached_differs(lost=1, sent=10, silent=10)


def test_discoveries_depend_on_the_number_of_tests() -> None:
    """Benjamini and Hochberg's own steps: p(k) of at most 0.05 k / m."""
    assert discoveries([0.04]) == [True]
    assert discoveries([0.04, 0.9]) == [False, False]
    assert discoveries([0.04, 0.012, 0.9, 0.02]) == [False, True, False, True]
    assert discoveries([]) == []
