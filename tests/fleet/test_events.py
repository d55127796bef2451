"""The reader of events agrees with somebody else's, and refuses what the API never sends."""

import json
from itertools import pairwise

import httpx
import pytest
from colotrace_coordinator.live.feed import Feed, Kind
from httpx_sse import EventSource
from hypothesis import given
from hypothesis import strategies as st

from fleet.events import NAMES, BrokenStreamError, Event, EventReader, State, events_of

TEXTS = st.text(max_size=20)
BLOCKS = st.one_of(
    st.just(":\n"),
    st.just("retry: 1000\n"),
    st.tuples(st.booleans(), st.sampled_from(sorted(NAMES - {"end"})), TEXTS),
)


@given(st.lists(BLOCKS, max_size=12), st.lists(st.integers(0, 400), max_size=8))
def test_same_events_as_httpx_sse_reads(
    blocks: list[str | tuple[bool, str, str]], cuts: list[int]
) -> None:
    """However the bytes are cut into pieces."""
    text = ""
    for number, block in enumerate(blocks, 1):
        if isinstance(block, tuple):
            numbered, name, said = block
            line = json.dumps(said, ensure_ascii=False)
            # Unescaped: U+2028 and the like end no line.
            text += (f"id: {number}\n" if numbered else "") + f"event: {name}\ndata: {line}\n\n"
        else:
            text += block
    data = text.encode()
    reader = EventReader()
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = [event for a, b in pairwise(bounds) for event in reader.feed(data[a:b])]
    reader.close()
    headers = {"content-type": "text/event-stream"}
    theirs = list(EventSource(httpx.Response(200, headers=headers, content=data)).iter_sse())
    assert [(each.event, json.loads(each.data)) for each in theirs] == [
        (event.name, event.data) for event in found
    ]
    if theirs:
        assert reader.last_id == theirs[-1].id


def test_feed_writes_what_both_read() -> None:
    feed = Feed()
    feed.put(Kind.START, '{"target":"bücher.example\u2028"}'.encode())
    feed.put(Kind.END, b"{}")
    data = feed.after(0).data
    headers = {"content-type": "text/event-stream"}
    theirs = EventSource(httpx.Response(200, headers=headers, content=data)).iter_sse()
    found = [(each.event, json.loads(each.data), int(each.id)) for each in theirs]
    assert found == [(event.name, event.data, event.number) for event in events_of(data)]
    assert found[0][1] == {"target": "bücher.example\u2028"}


@pytest.mark.parametrize(
    "data",
    [
        b"event: start\r\ndata: {}\r\n\r\n",
        b"event: start\nevent: end\ndata: {}\n\n",
        b"event: other\ndata: {}\n\n",
        b"data: {}\n\n",
        b"event: start\n\n",
        b":\n\n",
        b"event: start\ndata: {}\n",
        b"event: start\nmore: 1\ndata: {}\n\n",
        b"event: end\ndata: {}\n\nevent: message\ndata: {}\n\n",
        b"id: 2\nevent: row\ndata: {}\n\nid: 2\nevent: row\ndata: {}\n\n",
        b"event: start\ndata: {\n\n",
    ],
)
def test_what_the_api_never_sends_is_refused(data: bytes) -> None:
    with pytest.raises((BrokenStreamError, json.JSONDecodeError)):
        list(events_of(data))


def test_hops_after_their_row_are_refused() -> None:
    state = State()
    state.apply(Event("row", {"target": 0, "colo": 1, "row": {}}))
    with pytest.raises(BrokenStreamError):
        state.apply(Event("hops", {"target": 0, "colo": 1, "hops": [], "fresh": True}))


def test_state_begins_anew_with_the_start() -> None:
    state = State()
    for event in (
        Event("start", {}),
        Event("row", {"target": 0, "colo": 1, "row": {}}),
        Event("message", {"code": 1110}),
    ):
        state.apply(event)
    state.apply(Event("start", {"measurement": {}}))
    assert state == State(start={"measurement": {}})
