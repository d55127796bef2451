"""A feed: a client that applies its events in order has its newest state, from any position."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from colotrace_coordinator.live.feed import ENDED, MAX_MESSAGES, Event, Feed, Kind, Piece
from hypothesis import given
from hypothesis import strategies as st
from unit.coordinator.live.events import encoded, events_of, put_hops, put_row

ROWS, TTLS = 2, 4


@dataclass
class Watcher:
    """Applies events as the guide tells clients to."""

    start: Any = None
    hops: dict[int, dict[int, Any]] = field(default_factory=dict)
    rows: dict[int, Any] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)
    end: Any = None
    position: int = 0

    def apply(self, data: bytes) -> None:
        for number, name, said in events_of(data):
            assert number > self.position
            assert self.end is None
            self.position = number
            match name:
                case "start":
                    self.start = said
                case "hops":
                    assert said["colo"] not in self.rows
                    row = self.hops.setdefault(said["colo"], {})
                    if said["fresh"]:
                        row.clear()
                    row.update({hop["packets_ttl"]: hop["nodes"] for hop in said["hops"]})
                case "row":
                    self.rows[said["colo"]] = said["row"]
                    self.hops.pop(said["colo"], None)
                case "message":
                    self.messages.append(said)
                case "end":
                    self.end = said

    def read(self, feed: Feed, *, most_bytes: int) -> Piece:
        piece = feed.after(self.position, most_bytes=most_bytes)
        self.apply(piece.data)
        assert piece.position == self.position
        return piece

    def state(self) -> Any:
        return self.start, self.hops, self.rows, self.messages, self.end


@dataclass
class Truth(Watcher):
    """The state that the events put so far amount to."""

    def put(self, feed: Feed, kind: str, row: int, ttl: int, text: str) -> None:
        if self.end is not None:
            kind = "late"
        match kind:
            case "start":
                feed.put(Kind.START, encoded(text))
                self.start = text
            case "hops" | "fresh":
                found = [(ttl, text), (ttl + 1, text)][: ttl % 3]
                put_hops(feed, row, *found, fresh=kind == "fresh")
                if row not in self.rows:
                    if kind == "fresh":
                        self.hops[row] = {}
                    self.hops.setdefault(row, {}).update({t: [n] for t, n in found})
            case "row":
                put_row(feed, row, text)
                self.rows[row] = text
                self.hops.pop(row, None)
            case "message":
                feed.put(Kind.MESSAGE, encoded(text))
                self.messages.append(text)
            case "end":
                feed.put(Kind.END, encoded(text))
                self.end = text
            case _:
                put_row(feed, row, text)


PUTS = st.tuples(
    st.sampled_from([*["hops", "fresh"] * 15, *["start", "row", "message"] * 3, "end"]),
    st.integers(0, ROWS - 1),
    st.integers(1, TTLS),
)


READS = st.tuples(st.integers(0, 3), st.sampled_from([1, 150, 10_000]))


@given(st.lists(st.one_of(PUTS, PUTS, READS), min_size=20, max_size=60))
def test_every_watcher_ends_with_the_same_state(steps: list[Any]) -> None:
    """Whenever it reads, and however large its pieces are. Watchers that never read before the end
    are late joiners, those that read rarely are slow readers."""
    feed, truth, watchers = Feed(), Truth(), [Watcher() for _ in range(5)]
    for count, step in enumerate(steps):
        if len(step) == 3:
            kind, row, ttl = step
            truth.put(feed, kind, row, ttl, str(count))
        else:
            watchers[step[0]].read(feed, most_bytes=step[1])
    for watcher in watchers:
        while watcher.read(feed, most_bytes=200).data:
            pass
        assert watcher.state() == truth.state()
        assert watcher.position == feed.position


@given(st.lists(PUTS, min_size=10, max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_copy_made_from_any_point_has_the_same_state(
    steps: list[Any], copied_at: int, gone: int
) -> None:
    """Another coordinator's copy has the same numbers: a watcher may change between the two."""
    feed, truth, copy, watcher = Feed(), Truth(), Feed(), Watcher()
    for count, (kind, row, ttl) in enumerate(steps):
        truth.put(feed, kind, row, ttl, str(count))
        if count == gone:
            watcher.read(feed, most_bytes=10_000)
        if count >= copied_at:
            for event in feed.events(copy.position, most=2):
                copy.put(event.kind, event.data, row=event.row, sequence=event.sequence)
    while events := feed.events(copy.position, most=7):
        for event in events:
            copy.put(event.kind, event.data, row=event.row, sequence=event.sequence)
    while watcher.read(copy, most_bytes=10_000).data:
        pass
    assert watcher.state() == truth.state()
    assert copy.position == feed.position


def test_event_has_number_name_and_data_on_lines() -> None:
    feed = Feed()
    feed.put(Kind.START, b'{"rows":1}')
    assert feed.after(0).data == b'id: 1\nevent: start\ndata: {"rows":1}\n\n'


def test_late_joiner_gets_rows_without_their_hops() -> None:
    feed = Feed()
    feed.put(Kind.START, b"{}")
    put_hops(feed, 0, (1, "a"))
    put_hops(feed, 0, (2, "b"))
    put_row(feed, 0, "done")
    assert [name for _, name, _ in events_of(feed.after(0).data)] == ["start", "row"]


def test_late_joiner_gets_each_hop_once() -> None:
    feed = Feed()
    put_hops(feed, 0, (1, "old"), (2, "b"))
    put_hops(feed, 0, (1, "new"))
    found = [hop for _, _, said in events_of(feed.after(0).data) for hop in said["hops"]]
    assert [(hop["packets_ttl"], hop["nodes"]) for hop in found] == [(2, ["b"]), (1, ["new"])]


def test_fresh_hops_void_the_earlier_ones() -> None:
    feed = Feed()
    put_hops(feed, 0, (1, "a"), (2, "b"))
    put_hops(feed, 0, (1, "c"), fresh=True)
    assert [said["fresh"] for _, _, said in events_of(feed.after(0).data)] == [True]


def test_reader_who_missed_fresh_is_told_though_its_hop_was_replaced() -> None:
    feed, watcher = Feed(), Watcher()
    put_hops(feed, 0, (1, "a"), (2, "b"))
    watcher.read(feed, most_bytes=10_000)
    put_hops(feed, 0, (1, "c"), fresh=True)
    put_hops(feed, 0, (1, "d"))
    watcher.read(feed, most_bytes=10_000)
    assert watcher.hops == {0: {1: ["d"]}}


def test_nothing_follows_the_end() -> None:
    feed = Feed()
    feed.put(Kind.END, b"{}")
    feed.put(Kind.MESSAGE, b"{}")
    assert feed.ended
    assert feed.position == ENDED


def test_hops_after_their_row_are_ignored() -> None:
    feed = Feed()
    put_row(feed, 0, "done")
    put_hops(feed, 0, (1, "a"))
    assert feed.position == 1


def test_event_without_hops_holds_until_the_next_of_its_row() -> None:
    """It tells of the target: its address, before anything has answered."""
    feed = Feed()
    put_hops(feed, 0)
    assert len(feed.events(0, most=10)) == 1
    put_hops(feed, 0)
    put_hops(feed, 0, (1, "a"))
    assert [event.sequence for event in feed.events(0, most=10)] == [3]


def test_other_fields_of_hops_are_kept() -> None:
    feed = Feed()
    one, two = {"packets_ttl": 1}, {"packets_ttl": 2}
    fields = {"hops": [one, two], "target_summary": {"ip": "192.0.2.1"}, "fresh": True}
    feed.put(Kind.HOPS, encoded({"target": 0, "colo": 0, **fields}), row=0)
    put_hops(feed, 0, (1, "a"))
    first, _ = events_of(feed.after(0).data)
    assert first[2] == {"target": 0, "colo": 0, **fields, "hops": [two]}


def test_row_that_is_put_again_is_one_line() -> None:
    """Its names became known."""
    feed = Feed()
    put_row(feed, 0, "without names")
    put_row(feed, 0, "with names")
    lines = feed.rows_after(0).data.splitlines()
    assert [json.loads(line)["row"] for line in lines] == ["with names"]
    assert [said["row"] for _, _, said in events_of(feed.after(0).data)] == ["with names"]


def test_messages_are_bounded() -> None:
    feed = Feed()
    for _ in range(MAX_MESSAGES + 3):
        feed.put(Kind.MESSAGE, b"{}")
    assert feed.position == MAX_MESSAGES


def test_log_does_not_grow_while_the_same_hop_changes() -> None:
    feed = Feed()
    for count in range(10_000):
        put_hops(feed, 0, (1, str(count)))
    assert len(feed.after(0, most_bytes=10_000).data) < 200
    assert len(feed.events(0, most=10)) == 1


def test_listeners_are_called_after_each_event_until_they_end() -> None:
    feed = Feed()
    seen: list[int] = []
    end = feed.listen(lambda: seen.append(feed.position))
    feed.put(Kind.START, b"{}")
    feed.put(Kind.START, b"{}", sequence=1)  # a copy's event that came twice
    end()
    feed.put(Kind.END, b"{}")
    assert seen == [1]


def test_listener_may_end_while_it_is_called() -> None:
    feed = Feed()
    ends = [feed.listen(lambda: [end() for end in ends] and None) for _ in range(2)]
    feed.put(Kind.START, b"{}")
    assert feed.position == 1


def test_feed_that_is_closed_has_ended_without_an_event() -> None:
    feed = Feed()
    heard: list[bool] = []
    leave = feed.listen(lambda: heard.append(feed.ended))
    assert feed.listeners == 1
    feed.put(Kind.START, b"{}")
    for _ in range(2):
        feed.close()
    feed.put(Kind.END, b"{}")
    assert (heard, feed.position) == ([False, True], 1)
    leave()
    assert feed.listeners == 0


@pytest.mark.parametrize("data", [b"{\n}", b"{\r}"])
def test_line_break_in_data_is_refused(data: bytes) -> None:
    """It would end the event, or begin another one."""
    with pytest.raises(ValueError, match="one line"):
        Feed().put(Kind.MESSAGE, data)


@pytest.mark.parametrize("data", [b"{}", b"[", b'{"target":0,"colo":0,"hops":[{}]}'])
def test_hops_that_are_none_are_refused(data: bytes) -> None:
    feed = Feed()
    with pytest.raises(ValueError, match=r"."):
        feed.put(Kind.HOPS, data, row=0)
    assert feed.position == 0
    assert feed.after(0).data == b""


@pytest.mark.parametrize("kind", [Kind.HOPS, Kind.ROW])
def test_rows_need_their_number(kind: Kind) -> None:
    with pytest.raises(ValueError, match="have a row"):
        Feed().put(kind, b"{}")


def test_event_of_a_copy_tells_everything() -> None:
    feed = Feed()
    put_row(feed, 2, "done")
    [event] = feed.events(0, most=10)
    assert event == Event(1, Kind.ROW, encoded({"target": 0, "colo": 2, "row": "done"}), 2)
