"""Reading a request's body: JSON only, so much at most, and not for ever."""

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
        EncodedBodyError: it has a content coding. A small body could become any number of bytes.
        BodyTooLargeError: there are more than `MAX_BODY` bytes, announced or sent.
        BodyTimeoutError: the last byte has not come within `timeout_s`.
        ClientDisconnect: the client went away meanwhile.
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
        # The client waits for a word before it sends: this is it.
        raise BodyTooLargeError
    # A connection that is closed on unread bytes is reset, and a reset overtakes the answer:
    # so a body that is only somewhat too large is read to its end, and thrown away.
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
