"""Whether two sets of samples differ by more than chance and their own spread explain.

All tests are exact. With three samples a side an exact test has no small p-values: the smallest of
a rank test is 0.1. There, `rtt_differs` asks for a gap between the two ranges instead.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from math import comb, erfc, exp, lgamma, sqrt
from statistics import median

FLOOR_NS = 1_000_000
FLOOR_SHARE = 0.02
"""Smaller RTT changes are none: 1 ms, and 2 % of the RTT."""
LEAST_SAMPLES = 3
"""RTTs that each side needs."""
_RANKED = 5
"""RTTs from which on a rank test can give 0.01: the smallest p-value of 5 and 5 is 2/252."""
_MOST_EXACT = 20
P_RTT = 0.01
FALSE_DISCOVERIES = 0.05
"""Share of false ones among the changes of loss that are told."""
P_UNREACHED = 0.05


def fisher(a: int, b: int, c: int, d: int) -> float:
    """The two-sided p-value of Fisher's exact test of the table [[a, b], [c, d]]: the probability,
    with these sums of rows and columns, of all tables that are no more likely than this one."""
    rows, column, total = a + b, a + c, a + b + c + d
    least, most = max(0, rows + column - total), min(rows, column)
    logs = [_log_table(x, rows, column, total) for x in range(least, most + 1)]
    # The tolerance is for rounding errors between tables that are equally likely.
    limit = logs[a - least] + 1e-9
    return min(1.0, sum(exp(each) for each in logs if each <= limit))


def fisher_more(a: int, b: int, c: int, d: int) -> float:
    """The one-sided p-value of the same: of tables with at least `a` in the first place."""
    rows, column, total = a + b, a + c, a + b + c + d
    most = min(rows, column)
    return min(1.0, sum(exp(_log_table(x, rows, column, total)) for x in range(a, most + 1)))


def _log_table(x: int, rows: int, column: int, total: int) -> float:
    """Logarithm of the hypergeometric probability."""
    return _log_choose(column, x) + _log_choose(total - column, rows - x) - _log_choose(total, rows)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def rank_sum(one: Sequence[float], other: Sequence[float]) -> float:
    """The two-sided p-value of the test of Mann and Whitney (1947), exact up to 20 samples a side.
    Ties make it larger than it is."""
    ordered = sorted(other)
    twice = sum(bisect_left(ordered, x) + bisect_right(ordered, x) for x in one)
    m, n = len(one), len(other)
    low = min(twice, 2 * m * n - twice)
    smaller = -(-low // 2)  # U, rounded towards the middle
    if max(m, n) > _MOST_EXACT:
        z = (m * n / 2 - smaller) / sqrt(m * n * (m + n + 1) / 12)
        return erfc(max(z, 0.0) / sqrt(2))
    counts = _ways(m, n)
    return min(1.0, 2 * sum(counts[: smaller + 1]) / comb(m + n, m))


@lru_cache(maxsize=_MOST_EXACT**2)
def _ways(m: int, n: int) -> tuple[int, ...]:
    """In how many orders of `m` and `n` samples U is 0, 1, 2 …"""
    if not m or not n:
        return (1,)
    # The greatest sample is one of `m`, above all `n` others, or one of `n`.
    counts = [0] * (m * n + 1)
    for u, ways in enumerate(_ways(m - 1, n)):
        counts[u + n] += ways
    for u, ways in enumerate(_ways(m, n - 1)):
        counts[u] += ways
    return tuple(counts)


def rtt_differs(before_ns: Sequence[int], after_ns: Sequence[int]) -> bool:
    """Whether the medians differ by more than the floor and more than the spread explains.

    With five samples or more a side: `rank_sum` of at most 0.01. With fewer, but at least three: no
    sample of one side is within the range of the other, and the gap between the ranges is greater
    than both ranges together. Simulated with three and three samples of one distribution (normal,
    exponential, lognormal, uniform, or a fifth of them 20 ms late), this happens in 0.3 to 0.9 %.
    """
    if min(len(before_ns), len(after_ns)) < LEAST_SAMPLES:
        return False
    old = median(before_ns)
    if abs(median(after_ns) - old) <= max(FLOOR_NS, FLOOR_SHARE * old):
        return False
    low, high, least, most = min(before_ns), max(before_ns), min(after_ns), max(after_ns)
    if min(len(before_ns), len(after_ns)) >= _RANKED:
        return rank_sum(before_ns, after_ns) <= P_RTT
    return max(least - high, low - most) > (high - low) + (most - least)


def unreached_differs(*, lost: int, sent: int, silent: int) -> bool:
    """Whether `silent` probes without an answer differ from `lost` of `sent` before (or after).

    If none was lost, yes. Else the probability that all of `silent` probes are lost too, if the
    loss has not changed, is at most 0.05 by Laplace's rule of succession.
    """
    if not lost:
        return True
    likely = 1.0
    for more in range(silent):
        likely *= (lost + 1 + more) / (sent + 2 + more)
    return likely <= P_UNREACHED


def discoveries(p_values: Sequence[float], *, share: float = FALSE_DISCOVERIES) -> list[bool]:
    """Which of many tests count, with at most that share of false ones among them (Benjamini and
    Hochberg, 1995)."""
    limit = 0.0
    for place, p_value in enumerate(sorted(p_values), 1):
        if p_value <= share * place / len(p_values):
            limit = p_value
    return [p_value <= limit and limit > 0 for p_value in p_values]
