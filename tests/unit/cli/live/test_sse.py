"""Server-sent events: bytes in, events out."""

from itertools import pairwise

import pytest
from colotrace_cli.errors import RequestError
from colotrace_cli.live.sse import MOST_BYTES, Event, Parser
from hypothesis import given
from hypothesis import strategies as st

STREAM = (
    b"\xef\xbb\xbf: a comment\n\nid: 1\nevent: start\ndata: {}\n\n"
    b"event: hops\r\ndata: a\r\ndata: b\r\n\r\nid:2\revent:row\rdata:x\r\r"
    b"retry: 10\n\nevent: none\n\ndata: unnamed\nid: \0\n\ndata: cut short"
)
EVENTS = [
    Event("start", b"{}", "1"),
    Event("hops", b"a\nb", "1"),
    Event("row", b"x", "2"),
    Event("message", b"unnamed", "2"),
]


def parsed(chunks: list[bytes]) -> list[Event]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_each_kind_of_line_end_is_read() -> None:
    assert parsed([STREAM]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_chunks_may_begin_anywhere(cuts: list[int]) -> None:
    at = [0, *sorted(cuts), len(STREAM)]
    assert parsed([STREAM[a:b] for a, b in pairwise(at)]) == EVENTS


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_bytes_raise(chunks: list[bytes]) -> None:
    parsed(chunks)


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1023 + b"\n", b"x" * 1024])
def test_event_without_end_is_given_up(line: bytes) -> None:
    """Whether its lines end or not."""
    with pytest.raises(RequestError, match="too large"):
        parsed([line] * (MOST_BYTES // 1024 + 2))


def test_new_stream_forgets_what_was_cut_short_but_not_the_last_id() -> None:
    parser = Parser()
    list(parser.feed(b"id: 7\ndata: a\n\ndata: half"))
    parser.restart()
    assert list(parser.feed(b"data: b\n\n")) == [Event("message", b"b", "7")]
