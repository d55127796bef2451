"""What a feed has for a reader at a position."""

import json

from colotrace_coordinator.live.feed import ENDED, RECORDED, Feed, Kind, Piece
from unit.coordinator.live.events import encoded, events_of, put_hops, put_row


def test_piece_is_joined_once_for_all_readers_at_a_position() -> None:
    feed = Feed()
    feed.put(Kind.START, b"{}")
    feed.put(Kind.MESSAGE, b"{}")
    assert feed.after(1) is feed.after(1)


def test_piece_ends_at_its_bound_but_has_an_event() -> None:
    feed = Feed()
    for text in ("a" * 300, "b" * 10, "c" * 10):
        feed.put(Kind.MESSAGE, encoded(text))
    assert feed.after(0, most_bytes=100).position == 1
    assert feed.after(1, most_bytes=100).position == 3


def test_reader_at_the_end_gets_nothing() -> None:
    feed = Feed()
    feed.put(Kind.START, b"{}")
    assert feed.after(1) == Piece(b"", 1, skipped=False)


def test_position_of_another_feed_gets_everything() -> None:
    feed = Feed()
    feed.put(Kind.START, b"{}")
    assert feed.after(99) == feed.after(0)


def test_position_of_the_running_measurement_gets_all_of_the_recorded_one() -> None:
    recorded = Feed(begin=RECORDED)
    recorded.put(Kind.START, b"{}")
    put_row(recorded, 0, "done")
    assert len(events_of(recorded.after(2).data)) == 2
    assert not recorded.after(2).skipped
    assert len(events_of(recorded.after(RECORDED + 1).data)) == 1


def test_position_of_the_recorded_measurement_gets_all_of_the_running_one() -> None:
    feed = Feed()
    feed.put(Kind.START, b"{}")
    assert len(events_of(feed.after(RECORDED + 1).data)) == 1


def test_client_that_has_had_the_end_has_all_of_every_feed() -> None:
    """Also of the recorded measurement, once the running one's feed is gone."""
    for feed in (Feed(), Feed(begin=RECORDED)):
        feed.put(Kind.START, b"{}")
        feed.put(Kind.END, b"{}")
        *_, (number, name, _) = events_of(feed.after(0).data)
        assert (number, name) == (ENDED, "end")
        assert feed.after(ENDED).data == b""


def test_reader_behind_a_replaced_event_has_skipped_it() -> None:
    feed = Feed()
    feed.put(Kind.START, b"{}")
    put_hops(feed, 0, (1, "a"))
    assert not feed.after(1).skipped
    put_hops(feed, 0, (1, "b"))
    assert feed.after(1).skipped
    assert not feed.after(2).skipped


def test_late_joiner_has_skipped_nothing() -> None:
    feed = Feed()
    put_hops(feed, 0, (1, "a"))
    put_hops(feed, 0, (1, "b"))
    assert not feed.after(0).skipped


def test_finished_rows_are_lines_of_json() -> None:
    feed = Feed()
    put_row(feed, 1, "b")
    put_hops(feed, 0, (1, "a"))
    put_row(feed, 0, "a")
    piece = feed.rows_after(0)
    assert [json.loads(line)["row"] for line in piece.data.splitlines()] == ["b", "a"]
    assert piece.position == 2
    assert feed.rows_after(2).data == b""


def test_piece_of_rows_ends_at_its_bound() -> None:
    feed = Feed()
    for row in range(3):
        put_row(feed, row, "x" * 50)
    assert feed.rows_after(0, most_bytes=10).position == 1
    assert feed.rows_after(1).position == 3
