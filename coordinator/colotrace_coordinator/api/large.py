"""Large answers: sent while they are encoded, and compressed if the client accepts it.

Other requests have their turn whenever the next rows are asked for (`answer`).
"""

import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Protocol

import anyio
import msgspec
import zstandard
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from colotrace_coordinator.model import Answer

from .envelope import line

WHOLE_BYTES = 100_000
"""A smaller answer is sent in one piece, with its length."""
_JSON = "application/json"
_encoder = msgspec.json.Encoder()


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


_ENCODINGS: dict[str, Callable[[], _Compressor]] = {
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    # 31: with the header of gzip, not of zlib.
    "gzip": lambda: zlib.compressobj(level=1, wbits=31),
}
"""Content codings, best first (RFC 9110 section 8.4)."""


async def preload() -> None:
    """Load what Starlette would load at the first streamed answer (anyio's backend): it holds up
    the event loop for some 16 ms."""
    async with anyio.create_task_group():
        pass


async def respond(answer: Answer, *, accepted: str, until_sent: ExitStack) -> Response:
    """The response; `accepted` is the header Accept-Encoding. `until_sent` is closed once all of
    the answer has been sent, or will not be."""
    pieces = _pieces(answer)
    first = bytearray()
    with until_sent:
        async for piece in pieces:
            first += piece
            if len(first) > WHOLE_BYTES:
                rest = until_sent.pop_all()
                return _Streamed(bytes(first), pieces, _coding(accepted), rest)
    return Response(bytes(first), media_type=_JSON)


class _Streamed(StreamingResponse):
    def __init__(
        self, first: bytes, rest: AsyncIterator[bytes], coding: str, until_sent: ExitStack
    ) -> None:
        headers = {"vary": "accept-encoding"}
        if coding:
            headers["content-encoding"] = coding
        body = _joined(first, rest)
        super().__init__(
            _compressed(body, _ENCODINGS[coding]()) if coding else body,
            headers=headers,
            media_type=_JSON,
        )
        self._until_sent = until_sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._until_sent:
            await super().__call__(scope, receive, send)


async def _pieces(answer: Answer) -> AsyncIterator[bytes]:
    """The JSON of the envelope; its fields are those of `envelope.Envelope`."""
    messages = _encoder.encode([line(message) for message in answer.messages])
    yield b'{"success":true,"errors":[],"messages":' + messages + b',"result":['
    rows_left = 0
    targets = iter(answer.targets)
    separator = b""
    async for rows in answer.rows:
        start = separator
        if not rows_left:
            rows_left = answer.rows_of_target
            start += b'{"target":' + _encoder.encode(next(targets)) + b',"colos":['
        rows_left -= len(rows)
        yield start + _encoder.encode(rows)[1:-1] + (b"" if rows_left else b"]}")
        separator = b","
    yield b"]}"


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _compressed(
    pieces: AsyncIterator[bytes], compressor: _Compressor
) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()


def _coding(accepted: str) -> str:
    """The best coding that the client accepts; "" for none (RFC 9110 section 12.5.3)."""
    refused = {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    wanted = set()
    for item in accepted.lower().split(","):
        name, _, weight = item.partition(";")
        if weight.strip() not in refused:
            wanted.add(name.strip())
    return next((name for name in _ENCODINGS if name in wanted), "")
