"""Which probes of an attempt count as lost: none before its time, and none that is answered."""

from itertools import accumulate, pairwise
from typing import NamedTuple

from colotrace_coordinator.jobs.sent_counts import SentCounts
from hypothesis import given
from hypothesis import strategies as st

WAIT_S, TRAVEL_S = 1.0, 0.5


def test_counts_are_over_a_wait_and_the_travel_after_their_report() -> None:
    counts = SentCounts(wait_s=WAIT_S, travel_s=TRAVEL_S)
    counts.report(10.0, (3,))
    counts.report(10.2, (3,))  # with new replies only
    counts.report(10.5, (3, 3))
    assert counts.next_at == 11.5
    assert counts.over(11.4) == ()
    assert counts.over(11.5) == (3,)
    assert counts.next_at == 12.0
    assert counts.over(12.0) == (3, 3)
    assert counts.next_at is None


def test_report_without_counts_says_nothing() -> None:
    """The frame of a name's address comes before any probe is sent."""
    counts = SentCounts(wait_s=WAIT_S)
    counts.report(10.0, ())
    assert counts.next_at is None


class Probe(NamedTuple):
    ttl: int
    sent_at: float
    rtt_s: float | None
    """None if it is never answered."""


PROBES = st.builds(
    Probe,
    st.integers(1, 2),
    st.integers(0, 20).map(lambda n: n / 10),
    st.sampled_from([None, 0.0, 0.5, WAIT_S]),
)
FRAMES = 40
DELAYS = st.lists(st.sampled_from([0.0, 0.1, 0.2]), min_size=FRAMES, max_size=FRAMES)


@given(st.lists(PROBES, min_size=1, max_size=10), DELAYS)
def test_loss_is_never_overstated(probes: list[Probe], delays_s: list[float]) -> None:
    """An agent that reports each 0.1 s, with up to 0.2 s of delay on the way: less than
    `TRAVEL_S` in all."""
    counts = SentCounts(wait_s=WAIT_S, travel_s=TRAVEL_S)
    never = _per_ttl([p for p in probes if p.rtt_s is None])
    arrivals = accumulate((n / 10 + delay for n, delay in enumerate(delays_s)), max)
    for number, (now, later) in enumerate(pairwise([*arrivals, 10.0])):
        built_at = number / 10
        sent = _per_ttl([p for p in probes if p.sent_at <= built_at])
        answered = [
            p for p in probes if p.rtt_s is not None and p.sent_at + p.rtt_s <= built_at + 1e-9
        ]
        replies = [p.ttl for p in answered]
        counts.report(now, sent)
        # Just before the next report comes, most is over.
        over = counts.over(max(now, later - 1e-6)) or (0, 0)
        lost = [n - replies.count(ttl) for ttl, n in enumerate(over, 1)]
        assert all(a <= b for a, b in zip(lost, never, strict=True))


def _per_ttl(probes: list[Probe]) -> tuple[int, ...]:
    return tuple(sum(p.ttl == ttl for p in probes) for ttl in (1, 2))
