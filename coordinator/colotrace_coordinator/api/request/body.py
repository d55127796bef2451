"""Reads a request's body: JSON only, bounded in size and time."""

import asyncio

from starlette.requests import Request

from colotrace_coordinator.api.errors import (
    MAX_BODY,
    BodyTimeoutError,
    BodyTooLargeError,
    EncodedBodyError,
    UnsupportedContentError,
)

BODY_TIMEOUT_S = 5.0
_DRAIN_BYTES = 1 << 20
_DRAIN_S = 1.0


async def read_json_bytes(request: Request, *, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """The body's bytes.

    Raises:
        UnsupportedContentError: the content type is not application/json.
        EncodedBodyError: it has a content coding, with which a small body can expand without bound.
        BodyTooLargeError: more than `MAX_BODY` bytes are announced or sent.
        BodyTimeoutError: the last byte did not arrive within `timeout_s`.
        ClientDisconnect: the client disconnected.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedContentError
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise EncodedBodyError
    try:
        async with asyncio.timeout(timeout_s):
            return await _bounded(request)
    except TimeoutError:
        raise BodyTimeoutError from None


async def _bounded(request: Request) -> bytes:
    body = bytearray()
    seen = 0
    announced = request.headers.get("content-length", "")
    too_large = announced.isdecimal() and int(announced[:20]) > MAX_BODY
    if too_large and request.headers.get("expect"):
        # The client waits for an answer before it sends the body.
        raise BodyTooLargeError
    # Closing a socket with unread bytes resets the connection, and the client could lose the
    # answer. So a body that is slightly too large is read to its end and discarded.
    try:
        async with asyncio.timeout(None) as drain:
            async for chunk in request.stream():
                seen += len(chunk)
                if seen > MAX_BODY or too_large:
                    too_large = True
                    body.clear()
                    if drain.when() is None:
                        drain.reschedule(asyncio.get_running_loop().time() + _DRAIN_S)
                    if seen > _DRAIN_BYTES:
                        break
                else:
                    body += chunk
    except TimeoutError:
        pass
    if too_large:
        raise BodyTooLargeError
    return bytes(body)
