"""Large answers: the same JSON, in pieces, compressed where the client accepts it."""

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

import msgspec
import pytest
import zstandard
from colotrace_coordinator.api.large import WHOLE_BYTES, json_pieces, respond
from colotrace_coordinator.model import Answer, Message, TraceRequest
from colotrace_proto.measured import Measured, Options
from colotrace_proto.rows import Colo, ColoRow, TargetSummary
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from unit.coordinator.api.fake_tracer import summary_of


def row(number: int, *, filling: int = 0) -> ColoRow:
    return ColoRow(
        colo=Colo(city="x" * filling, name=f"den{number:02}"),
        error="",
        hops=[],
        target_summary=TargetSummary(asn="", ip="", name="", packet_count=0),
        traceroute_time_ms=number,
    )


async def pieces(*rows: list[ColoRow]) -> AsyncIterator[list[ColoRow]]:
    for piece in rows:
        yield piece


def measured() -> Measured:
    return Measured(summary=summary_of(TraceRequest("acc", (), (), Options())), traces={})


def large(count: int = 40) -> Answer:
    """Two targets, each with rows in pieces of four, each row of 10 kB."""
    rows = [[row(n + i, filling=10_000) for i in range(4)] for n in range(0, count // 2, 4)]
    return Answer(("a.example", "b.example"), count // 2, pieces(*rows, *rows), [], measured())


async def responded(answer: Answer, *, accepted: str, until_sent: ExitStack) -> Response:
    return await respond(
        json_pieces(answer), accepted=accepted, until_sent=until_sent, headers={"x-kept": "yes"}
    )


async def sent(response: Response) -> tuple[dict[str, str], list[bytes]]:
    """The headers, and the parts of the body."""
    headers: dict[str, str] = {}
    parts = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            headers.update((k.decode(), v.decode()) for k, v in message["headers"])
        else:
            parts.append(bytes(message["body"]))

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    return headers, parts


async def test_small_answer_is_one_piece_with_its_length() -> None:
    """An answer without rows of its own comes in pieces from the tracer, but not to the client."""
    messages = [Message(1_008, 'a "note"', "/result/0/colos/1")]
    answer = Answer(
        ("é", "b"),
        3,
        pieces([row(1), row(2)], [row(3)], [row(4)], [row(5), row(6)]),
        messages,
        measured(),
    )
    headers, parts = await sent(await responded(answer, accepted="gzip", until_sent=ExitStack()))
    (body,) = parts
    assert headers["content-length"] == str(len(body))
    assert headers["x-kept"] == "yes"
    assert "content-encoding" not in headers
    told = msgspec.json.decode(body)
    assert list(told) == ["success", "errors", "messages", "result"]
    assert told["messages"][0]["message"] == 'a "note"'
    assert [target["target"] for target in told["result"]] == ["é", "b"]
    names = [[colo["colo"]["name"] for colo in target["colos"]] for target in told["result"]]
    assert names == [["den01", "den02", "den03"], ["den04", "den05", "den06"]]


UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "gzip": gzip.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("identity, br", ""),
        ("gzip, deflate", "gzip"),
        ("GZIP;q=0.5, zstd;q=0", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip; q=0.000", ""),
    ],
)
async def test_large_answer_is_compressed_as_accepted(accepted: str, coding: str) -> None:
    headers, parts = await sent(await responded(large(), accepted=accepted, until_sent=ExitStack()))
    assert headers.get("content-encoding", "") == coding
    assert headers["vary"] == "accept-encoding"
    assert headers["x-kept"] == "yes"
    assert "content-length" not in headers
    told = msgspec.json.decode(UNPACK[coding](b"".join(parts)))
    assert [len(target["colos"]) for target in told["result"]] == [20, 20]


async def test_large_answer_is_sent_while_it_is_computed() -> None:
    """The first part leaves before the last rows are asked for."""
    asked = 0

    async def counted() -> AsyncIterator[list[ColoRow]]:
        nonlocal asked
        for number in range(10):
            asked += 1
            yield [row(number, filling=WHOLE_BYTES // 2)]

    answer = Answer(("a",), 10, counted(), [], measured())
    response = await responded(answer, accepted="", until_sent=ExitStack())
    assert asked == 2
    _, parts = await sent(response)
    assert (asked, len(msgspec.json.decode(b"".join(parts))["result"][0]["colos"])) == (10, 10)


async def test_place_is_kept_until_all_is_sent() -> None:
    """And given back, too, if the client goes away in between."""
    stack = ExitStack()
    closed: list[bool] = []
    stack.callback(lambda: closed.append(True))
    response = await responded(large(), accepted="", until_sent=stack)
    assert not closed

    async def broken(_: object) -> None:
        raise ConnectionResetError

    with pytest.raises(ClientDisconnect):
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, broken, broken)
    assert closed
