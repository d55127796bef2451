"""Large answers: sent while they are encoded, and compressed if the client accepts it.

Other requests have their turn whenever the next rows are asked for (`answer`).
"""

import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from typing import Protocol

import anyio
import msgspec
import zstandard
from msgspec import UNSET
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from colotrace_coordinator.lines import line
from colotrace_coordinator.model import Answer

WHOLE_BYTES = 100_000
"""A smaller answer is sent in one piece, with its length."""
JSON = "application/json"
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


async def respond(
    pieces: AsyncIterator[bytes],
    *,
    accepted: str,
    until_sent: ExitStack,
    headers: Mapping[str, str],
    media_type: str = JSON,
) -> Response:
    """The response with a body in pieces; `accepted` is the header Accept-Encoding. `until_sent` is
    closed once all of the answer has been sent, or will not be."""
    first = bytearray()
    with until_sent:
        async for piece in pieces:
            first += piece
            if len(first) > WHOLE_BYTES:
                rest = until_sent.pop_all()
                response = _Streamed(bytes(first), pieces, _coding(accepted), rest, media_type)
                response.headers.update(headers)
                response.headers["vary"] = ", ".join(
                    ["accept-encoding", *(v for k, v in headers.items() if k.lower() == "vary")]
                )
                return response
    return Response(bytes(first), headers=dict(headers), media_type=media_type)


class _Streamed(StreamingResponse):
    def __init__(
        self,
        first: bytes,
        rest: AsyncIterator[bytes],
        coding: str,
        until_sent: ExitStack,
        media_type: str,
    ) -> None:
        headers = {"vary": "accept-encoding"}
        if coding:
            headers["content-encoding"] = coding
        body = _joined(first, rest)
        super().__init__(
            _compressed(body, _ENCODINGS[coding]()) if coding else body,
            headers=headers,
            media_type=media_type,
        )
        self._until_sent = until_sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._until_sent:
            await super().__call__(scope, receive, send)


async def json_pieces(answer: Answer, *, info: object = UNSET) -> AsyncIterator[bytes]:
    """The JSON of the envelope; its fields are those of `envelope.Envelope`. `info` is
    `result_info`, which msgspec must be able to encode."""
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
    yield b"]}" if info is UNSET else b'],"result_info":' + _encoder.encode(info) + b"}"


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
