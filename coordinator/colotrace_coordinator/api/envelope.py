"""The envelope around every answer. The order of the fields is their order in the JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from colotrace_coordinator.lines import Line, line
from colotrace_coordinator.model import Message


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer."""

    success: bool
    errors: list[Line]
    messages: list[Line]
    result: Any
    result_info: Any | UnsetType = UNSET
    """Metadata of the result: the page of a list, or the measurement of the rows."""


_encoder = msgspec.json.Encoder()


def pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer of a path: `/` and `~` escaped as RFC 6901 says."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def answer(
    result: object,
    messages: Iterable[Message] = (),
    *,
    info: object = UNSET,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A success with the result and `result_info`, which msgspec must be able to encode."""
    body = Envelope(
        success=True,
        errors=[],
        messages=[line(message) for message in messages],
        result=result,
        result_info=info,
    )
    return _response(status, body, headers or {})


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
