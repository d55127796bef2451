"""What is new of a row that is being traced."""

from colotrace_coordinator.live.told import News, Told
from colotrace_proto.rows import SILENCE, Colo, ColoRow, Hop, TargetSummary
from hypothesis import given
from hypothesis import strategies as st

DEN = Colo(city="Denver, CO, US", name="den01")
TARGET = "192.0.2.9"


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
    assert Told().news(row) == News([hop(1), hop(2)], row.target_summary, fresh=False)


def test_nothing_new_is_no_news() -> None:
    told = Told()
    told.news(row_of(hop(1)))
    assert told.news(row_of(hop(1))) is None


def test_news_are_the_hops_that_changed() -> None:
    told = Told()
    told.news(row_of(hop(1), hop(2)))
    news = told.news(row_of(hop(1), hop(2, lost=1), hop(3)))
    assert news is not None
    assert (news.hops, news.fresh) == ([hop(2, lost=1), hop(3)], False)


def test_address_of_the_target_is_news_before_any_hop() -> None:
    told = Told()
    assert told.news(row_of()) is not None
    news = told.news(row_of(ip="192.0.2.10"))
    assert news is not None
    assert (news.hops, news.target_summary.ip) == ([], "192.0.2.10")


def test_row_that_becomes_shorter_begins_anew() -> None:
    """The target has answered at a lower TTL."""
    told = Told()
    told.news(row_of(hop(1), hop(2)))
    news = told.news(row_of(hop(1)))
    assert news is not None
    assert (news.hops, news.fresh) == ([hop(1)], True)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=20))
def test_news_in_order_amount_to_the_row(states: list[tuple[int, int]]) -> None:
    told, client = Told(), dict[int, Hop]()
    for length, lost in states:
        row = row_of(*(hop(ttl, lost=lost * (ttl % 2)) for ttl in range(1, length + 1)))
        news = told.news(row)
        if news is not None:
            if news.fresh:
                client.clear()
            client.update({each.packets_ttl: each for each in news.hops})
        assert [client[ttl] for ttl in sorted(client)] == row.hops
