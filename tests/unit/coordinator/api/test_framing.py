"""Heads and bodies: what is taken, what is refused, and where they end."""

import contextlib
import time
from itertools import pairwise

import pytest
from colotrace_coordinator.api.http.framing import (
    MAX_HEAD,
    MAX_HEADERS,
    Body,
    FramingError,
    head_end,
    read_head,
)
from hypothesis import given
from hypothesis import strategies as st


def request(*lines: bytes, first: bytes = b"POST /x HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((b"Host: a",), 0),
        ((b"Host: a", b"Content-Length: 12"), 12),
        ((b"Host: a", b"content-length:\t12 "), 12),
        ((b"Host: a", b"Transfer-Encoding: Chunked"), None),
        ((b"Host:", b"X-Odd!#$: \xc3\xa9"), 0),
    ],
)
def test_length_of_a_body(lines: tuple[bytes, ...], length: int | None) -> None:
    data = request(*lines)
    head = read_head(data)
    assert (head.data, head.length) == (data, length)


@pytest.mark.parametrize(
    "data",
    [
        request(b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        request(b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 1"),
        request(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        request(b"Host: a", b"Transfer-Encoding: gzip, chunked"),
        request(b"Host: a", b"Transfer-Encoding: xchunked"),
        request(b"Host: a", b"Transfer-Encoding: \x0bchunked"),
        request(b"Host: a", b"Transfer-Encoding : chunked"),
        request(b"Host: a", b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"),
        request(b"Host: a", b"Content-Length: 1", b"Content-Length: 1"),
        request(b"Host: a", b"Content-Length: 1, 1"),
        request(b"Host: a", b"Content-Length: +1"),
        request(b"Host: a", b"Content-Length: 0x1"),
        request(b"Host: a", b"Content-Length: 1_0"),
        request(b"Host: a", b"Content-Length: -1"),
        request(b"Host: a", b"Content-Length:"),
        request(b"Host: a", b"Content-Length: 9999999999999999"),
        request(b"Host: a", b" folded"),
        request(b"Host: a", b"\tfolded"),
        request(b"Host: a", b"X: 1\r\r"),
        request(b"Host: a", b"X: a\rb"),
        request(b"Host: a", b"X: a\x00b"),
        request(b"Host: a", b": 1"),
        request(b"Host: a", b"X"),
        request(b"Host: a", b"X y: 1"),
        request(b"Host: a", b"Host: b"),
        request(),
        request(b"Host: a", first=b"GET  / HTTP/1.1"),
        request(b"Host: a", first=b"GET / HTTP/2.0"),
        request(b"Host: a", first=b"GET / HTTP/1.1 "),
        request(b"Host: a", first=b"GET /a b HTTP/1.1"),
        request(b"Host: a", first=b"GET /\xc3\xa9 HTTP/1.1"),
        request(b"Host: a", first=b"GET / http/1.1"),
        request(b"Host: a", first=b"GET a.example:80 HTTP/1.1"),
        request(b"Host: a", first=b"GET ftp://a/ HTTP/1.1"),
        request(b"Host: a", first=b"GE(T / HTTP/1.1"),
        request(b"Host: a", *[b"X: 1"] * MAX_HEADERS),
    ],
)
def test_head_that_is_refused(data: bytes) -> None:
    with pytest.raises(FramingError):
        read_head(data)


@pytest.mark.parametrize(
    ("first", "passed"),
    [
        (b"GET http://a.example/x?y=1 HTTP/1.1", b"GET /x?y=1 HTTP/1.1"),
        (b"GET HTTPS://a.example:8443 HTTP/1.1", b"GET / HTTP/1.1"),
        (b"GET http://a.example?y HTTP/1.1", b"GET /?y HTTP/1.1"),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS * HTTP/1.1"),
        (b"BREW /x HTTP/1.1", b"TRACE /x HTTP/1.1"),
        (b"CONNECT /x HTTP/1.1", b"TRACE /x HTTP/1.1"),
        (b"GET //x HTTP/1.0", b"GET //x HTTP/1.0"),
    ],
)
def test_request_line_that_the_server_is_given(first: bytes, passed: bytes) -> None:
    assert read_head(request(b"Host: a", first=first)).data == request(b"Host: a", first=passed)


def test_upgrade_is_not_passed_on() -> None:
    data = request(b"Upgrade: h2c", b"Host: a", b"upgrade: websocket", b"X-Upgrade: 1")
    assert read_head(data).data == request(b"Host: a", b"X-Upgrade: 1")


def test_end_of_a_head() -> None:
    data = request(b"Host: a")
    assert head_end(data + b"body") == len(data)
    assert head_end(data[:-1]) == 0
    for bad in (b"GET / HTTP/1.1\nHost: a\n\n", b"X" * MAX_HEAD, b"X" * MAX_HEAD + b"\r\n\r\n"):
        with pytest.raises(FramingError):
            head_end(bad)


CHUNKED = b"5;a=b\r\nhello\r\n0A \r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n"


@given(st.sets(st.integers(1, len(CHUNKED) - 1)), st.binary(max_size=4))
def test_chunked_body_cut_anywhere(cuts: set[int], after: bytes) -> None:
    """It ends at its end, however it comes; what follows is left."""
    body, left, taken = Body(None), b"", 0
    bounds = [0, *sorted(cuts), len(CHUNKED)]
    for start, end in pairwise(bounds):
        assert not body.done
        left += CHUNKED[start:end]
        took = body.take(left)
        left, taken = left[took:], taken + took
    assert (body.done, body.take(after), body.seen) == (True, 0, taken)
    assert taken == len(CHUNKED)


def test_plain_body_ends_at_its_length() -> None:
    body = Body(5)
    assert (body.take(b"abc"), body.left, body.done) == (3, 2, False)
    assert (body.take(b"defgh"), body.left, body.done) == (2, 0, True)
    assert Body(0).done


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\n",
        b"\r\n",
        b"5\nhello\r\n",
        b"-5\r\n",
        b"0x5\r\n",
        b" 5\r\n",
        b"123456789\r\n",
        b"5;" + b"a" * 200,
        b"5;a\x00\r\nhello",
        b"5\r\nhelloX",
        b"5\r\nhello\rX",
        b"0\r\nno field\r\n",
        b"0\r\nX: " + b"a" * 5_000,
        b"0\r\n\n",
    ],
)
def test_chunked_body_that_is_refused(data: bytes) -> None:
    with pytest.raises(FramingError):
        Body(None).take(data)


def test_spaces_in_a_value_cost_no_more_than_their_number() -> None:
    """A head of spaces is read once from front to back, however many there are."""
    steps = []
    for size in (4_000, 32_000):
        head = b"GET / HTTP/1.1\r\nHost: a" + b" " * size + b"b\r\n\r\n"
        began = time.process_time()
        for _ in range(20):
            with contextlib.suppress(FramingError):
                read_head(head)
        steps.append(time.process_time() - began)
    # Eight times the size: 64 times the work if it were quadratic.
    assert steps[1] < 30 * max(steps[0], 0.001)


def test_a_head_that_comes_byte_by_byte() -> None:
    """What was searched before is not searched again, and the end is found all the same."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    ends = [head_end(data[:size], searched=max(size - 1, 0)) for size in range(len(data) + 1)]
    assert ends == [0] * len(data) + [len(data)]
    with pytest.raises(FramingError):
        head_end(b"GET / HTTP/1.1\n", searched=14)
