"""What a row shows while it is traced: no loss before its time, and only what is new."""

from ipaddress import ip_address
from itertools import accumulate, pairwise
from typing import NamedTuple

import pytest
from colotrace_coordinator.live.partial import News, SentCounts, Told, so_far
from colotrace_proto import tally
from colotrace_proto.messages import Node, NodeKind, Replies
from colotrace_proto.rows import SILENCE, Colo, ColoRow, Hop, TargetSummary
from hypothesis import given
from hypothesis import strategies as st

DEN = Colo(city="Denver, CO, US", name="den01")
TARGET = "192.0.2.9"
WAIT_S, TRAVEL_S = 1.0, 0.5


def gathered(sent: tuple[int, ...], replies: list[tuple[int, str]]) -> tally.Gathered:
    """A row of these replies, each a TTL and an address."""
    addresses = sorted({address for _, address in replies})
    kinds = {TARGET: NodeKind.TARGET}
    return tally.Gathered(
        target=TARGET,
        colo=DEN,
        target_address=ip_address(TARGET).packed,
        sent=sent,
        replies=Replies(
            ttl=tuple(ttl for ttl, _ in replies),
            rtt_ns=tuple(1_000_000 for _ in replies),
            node=tuple(addresses.index(address) for _, address in replies),
            nodes=tuple(
                Node(ip_address(address).packed, kinds.get(address, NodeKind.TRANSIT))
                for address in addresses
            ),
        ),
    )


def shown(
    sent: tuple[int, ...], replies: list[tuple[int, str]], over: tuple[int, ...] = ()
) -> ColoRow:
    (row,) = so_far(tally.colo_rows([gathered(sent, replies)]), [over])
    return row


def numbers(row: ColoRow) -> list[tuple[int, int, int]]:
    """TTL, sent and lost of each hop."""
    return [(hop.packets_ttl, hop.packets_sent, hop.packets_lost) for hop in row.hops]


def test_probe_that_is_waited_for_is_not_lost() -> None:
    row = shown((3, 3), [(1, "192.0.2.1"), (2, "192.0.2.2"), (2, "192.0.2.2")])
    assert numbers(row) == [(1, 3, 0), (2, 3, 0)]


def test_probe_whose_patience_is_over_is_lost() -> None:
    row = shown((3, 3), [(1, "192.0.2.1"), (2, "192.0.2.2")], over=(3, 2))
    assert numbers(row) == [(1, 3, 2), (2, 3, 1)]


def test_row_ends_at_the_last_hop_that_tells_something() -> None:
    """All probes are sent at once: the hops beyond the target are not known to be silent yet."""
    row = shown((3, 3, 3, 3, 3), [(3, "192.0.2.3")])
    assert numbers(row) == [(1, 3, 0), (2, 3, 0), (3, 3, 0)]
    assert [hop.nodes for hop in row.hops[:2]] == [[SILENCE], [SILENCE]]


def test_silent_hop_is_shown_once_its_probes_are_lost() -> None:
    row = shown((3, 3, 3), [(1, "192.0.2.1")], over=(3, 1, 0))
    assert numbers(row) == [(1, 3, 2), (2, 3, 1)]


def test_row_ends_at_the_target() -> None:
    row = shown((3, 3, 3), [(1, "192.0.2.1"), (2, TARGET)], over=(3, 3, 3))
    assert numbers(row) == [(1, 3, 2), (2, 3, 2)]
    assert row.target_summary.packet_count == 1


def test_more_answers_than_reported_probes_are_no_negative_loss() -> None:
    row = shown((1,), [(1, "192.0.2.1"), (1, "192.0.2.1")], over=(1,))
    assert numbers(row) == [(1, 2, 0)]


def test_row_without_a_reply_has_no_hops() -> None:
    row = shown((3, 3), [])
    assert row.hops == []
    assert row.target_summary.ip == TARGET


def test_many_rows_are_computed_together() -> None:
    several = [gathered((3,), [(1, f"192.0.2.{n}")]) for n in range(1, 4)]
    rows = so_far(tally.colo_rows(several), [(), (3,), (2,)])
    assert [numbers(row) for row in rows] == [[(1, 3, 0)], [(1, 3, 2)], [(1, 3, 1)]]


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
        replies = [(p.ttl, f"192.0.2.{p.ttl}") for p in answered]
        counts.report(now, sent)
        # Just before the next report comes, most is over.
        lost = [0, 0]
        for hop in shown(sent, replies, over=counts.over(max(now, later - 1e-6))).hops:
            lost[hop.packets_ttl - 1] = hop.packets_lost
        assert all(a <= b for a, b in zip(lost, never, strict=True))


@given(st.lists(PROBES, max_size=20))
def test_all_loss_is_shown_in_the_end(probes: list[Probe]) -> None:
    counts = SentCounts(wait_s=WAIT_S, travel_s=TRAVEL_S)
    counts.report(10.0, _per_ttl(probes))
    replies = [(p.ttl, f"192.0.2.{p.ttl}") for p in probes if p.rtt_s is not None]
    row = shown(_per_ttl(probes), replies, over=counts.over(11.5))
    whole = tally.colo_rows([gathered(_per_ttl(probes), replies)])[0]
    assert numbers(row) == numbers(whole)[: len(row.hops)]
    assert all(not hop.packets_sent for hop in whole.hops[len(row.hops) :])


def _per_ttl(probes: list[Probe]) -> tuple[int, ...]:
    return tuple(sum(p.ttl == ttl for p in probes) for ttl in (1, 2))


def row_of(*hops: Hop, ip: str = TARGET) -> ColoRow:
    return ColoRow(
        colo=DEN,
        error="",
        hops=list(hops),
        target_summary=TargetSummary(asn="*", ip=ip, name=ip, packet_count=0),
        traceroute_time_ms=0,
    )


def hop(ttl: int, lost: int = 0) -> Hop:
    return Hop(ttl, 3, lost, [SILENCE])


def test_first_news_are_all_hops() -> None:
    row = row_of(hop(1), hop(2))
    assert Told().news(row, attempt=1) == News([hop(1), hop(2)], row.target_summary, fresh=False)


def test_nothing_new_is_no_news() -> None:
    told = Told()
    told.news(row_of(hop(1)), attempt=1)
    assert told.news(row_of(hop(1)), attempt=1) is None


def test_news_are_the_hops_that_changed() -> None:
    told = Told()
    told.news(row_of(hop(1), hop(2)), attempt=1)
    news = told.news(row_of(hop(1), hop(2, lost=1), hop(3)), attempt=1)
    assert news is not None
    assert (news.hops, news.fresh) == ([hop(2, lost=1), hop(3)], False)


def test_address_of_the_target_is_news_before_any_hop() -> None:
    told = Told()
    assert told.news(row_of(), attempt=1) is not None
    news = told.news(row_of(ip="192.0.2.10"), attempt=1)
    assert news is not None
    assert (news.hops, news.target_summary.ip) == ([], "192.0.2.10")


@pytest.mark.parametrize("hops", [[], [hop(1)], [hop(1), hop(2), hop(3)]])
def test_another_attempt_begins_anew(hops: list[Hop]) -> None:
    told = Told()
    told.news(row_of(hop(1), hop(2)), attempt=1)
    news = told.news(row_of(*hops), attempt=2)
    assert news is not None
    assert (news.hops, news.fresh) == (hops, True)


def test_row_that_becomes_shorter_begins_anew() -> None:
    """The target has answered at a lower TTL."""
    told = Told()
    told.news(row_of(hop(1), hop(2)), attempt=1)
    news = told.news(row_of(hop(1)), attempt=1)
    assert news is not None
    assert (news.hops, news.fresh) == ([hop(1)], True)


def test_another_attempt_after_no_hop_is_not_fresh() -> None:
    told = Told()
    told.news(row_of(), attempt=1)
    news = told.news(row_of(hop(1)), attempt=2)
    assert news is not None
    assert not news.fresh


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), max_size=20))
def test_news_in_order_amount_to_the_row(states: list[tuple[int, int, int]]) -> None:
    told, client = Told(), dict[int, Hop]()
    for attempt, length, lost in states:
        row = row_of(*(hop(ttl, lost=lost * (ttl % 2)) for ttl in range(1, length + 1)))
        news = told.news(row, attempt=attempt)
        if news is not None:
            if news.fresh:
                client.clear()
            client.update({each.packets_ttl: each for each in news.hops})
        assert [client[ttl] for ttl in sorted(client)] == row.hops
