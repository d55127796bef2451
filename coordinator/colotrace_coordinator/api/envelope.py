"""The envelope around every answer. The order of the fields is their order in the JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from colotrace_coordinator.model import Message


class Source(msgspec.Struct, frozen=True):
    """The subject of a line: a JSON pointer (RFC 6901) into the request or the answer."""

    pointer: str


class Cause(msgspec.Struct, frozen=True):
    """The cause of an error."""

    code: int
    message: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `errors` or `messages`."""

    code: int
    message: str
    error_chain: list[Cause] | UnsetType = UNSET
    source: Source | UnsetType = UNSET


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer."""

    success: bool
    errors: list[Line]
    messages: list[Line]
    result: Any


_encoder = msgspec.json.Encoder()


def pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer of a path: `/` and `~` escaped as RFC 6901 says."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def line(message: Message) -> Line:
    """The line of the envelope for a message of the coordinator."""
    source = UNSET if message.pointer is None else Source(message.pointer)
    return Line(code=message.code, message=message.message, source=source)


def answer(result: object, messages: Iterable[Message] = ()) -> Response:
    """A 200 with the result, which msgspec must be able to encode."""
    body = Envelope(
        success=True, errors=[], messages=[line(message) for message in messages], result=result
    )
    return _response(200, body, {})


def refusal(status: int, errors: list[Line], headers: Mapping[str, str]) -> Response:
    """The answer to a request that failed."""
    body = Envelope(success=False, errors=errors, messages=[], result=None)
    if status >= 500:
        # A client that retries would repeat the whole measurement.
        headers = {**headers, "x-should-retry": "false"}
    return _response(status, body, headers)


def _response(status: int, body: Envelope, headers: Mapping[str, str]) -> Response:
    content = _encoder.encode(body)
    return Response(content, status, dict(headers), media_type="application/json")
