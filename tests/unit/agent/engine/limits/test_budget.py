"""How many packets may leave, and when."""

from colotrace_agent.engine.limits.budget import Bucket, Budget
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000_000


def test_burst_is_followed_by_the_rate() -> None:
    """A full bucket, refilled over time, never beyond the burst."""
    budget = Budget(Bucket(rate=100, burst=10))
    assert budget.available(SECOND) == 10
    budget.spend(10)
    assert budget.available(SECOND) == 0
    assert budget.available(SECOND + SECOND // 20) == 5
    assert budget.available(10 * SECOND) == 10


@given(
    rate=st.floats(1, 1e7),
    burst=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.integers(0, SECOND), st.integers(0, 500)), max_size=50),
)
def test_budget_is_never_exceeded(rate: float, burst: int, steps: list[tuple[int, int]]) -> None:
    """Whatever is requested at whatever time."""
    budget = Budget(Bucket(rate=rate, burst=burst))
    now, spent = SECOND, 0
    budget.available(now)
    for passed, wanted in steps:
        now += passed
        packets = min(budget.available(now), wanted)
        budget.spend(packets)
        spent += packets
        assert spent <= burst + (now - SECOND) * rate / 1e9 + 1e-3


@given(rate=st.floats(1, 1e7), packets=st.integers(1, 20))
def test_ready_time_is_when_packets_may_leave(rate: float, packets: int) -> None:
    """A caller that sleeps until then wakes neither too early nor much too late."""
    budget = Budget(Bucket(rate, 20))
    budget.available(SECOND)
    budget.spend(20)
    ready = budget.ready_at(packets)
    assert budget.available(ready + 1) >= packets
    assert ready <= SECOND + packets * 1e9 / rate + 2


def test_standing_clock_refills_nothing() -> None:
    """Nor does a time in the past."""
    budget = Budget(Bucket(1_000, 1))
    budget.available(SECOND)
    budget.spend(1)
    assert budget.available(SECOND) == budget.available(SECOND - 5) == 0


def test_empty_bucket_refills_to_the_grain_first() -> None:
    """However often it is asked meanwhile."""
    budget = Budget(Bucket(1_000, 100, 5))
    budget.available(SECOND)
    budget.spend(100)
    for passed in range(5):
        assert budget.available(SECOND + passed * 1_000_000) == 0
    assert budget.ready_at() <= SECOND + 5 * 1_000_000 + 2
    assert budget.available(budget.ready_at()) == 5
    budget.spend(1)
    assert budget.available(budget.ready_at() - 4_000_000) == 4
