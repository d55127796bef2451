"""How an answer is represented: which form the client wants, and the response in it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from typing import TypeVar

from colotrace_formats import negotiation
from colotrace_formats.formats import JSON, Format
from colotrace_formats.negotiation import Live
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.model import Answer

from .errors import InvalidBodyError, NotAcceptableError, schema_fault
from .large import json_pieces, respond

F = TypeVar("F", bound=Format | Live)

_PLAIN = ("", "*/*", "application/json")
"""What most clients accept."""


def wanted(request: Request) -> Format | Live:
    """The form that the client wants: a format, or a stream.

    Raises:
        InvalidBodyError: the parameter `format` names none.
        NotAcceptableError: the client accepts none.
    """
    return _negotiated(request, negotiation.wanted)


def wanted_format(request: Request) -> Format:
    """The same where there is no stream."""
    return _negotiated(request, negotiation.choose)


def _negotiated(request: Request, choose: Callable[[str | None, str | None], F]) -> F | Format:
    accepts = ",".join(request.headers.getlist("accept"))
    name = request.query_params.get("format")
    if name is None and accepts in _PLAIN:
        return JSON
    try:
        return choose(name, accepts)
    except negotiation.UnknownFormatError as error:
        raise InvalidBodyError([schema_fault(f"format {error}", "?format")]) from None
    except negotiation.NotAcceptableError as error:
        raise NotAcceptableError(error.offered) from None


async def represent(
    answer: Answer,
    form: Format,
    *,
    request: Request,
    headers: Mapping[str, str],
    until_sent: ExitStack,
    info: object = UNSET,
) -> Response:
    """The answer in a format. `info` is `result_info` of JSON."""
    pieces = json_pieces(answer, info=info) if form is JSON else _rendered(answer, form)
    return await respond(
        pieces,
        accepted=request.headers.get("accept-encoding", ""),
        until_sent=until_sent,
        headers=headers,
        media_type=form.content_type,
    )


async def _rendered(answer: Answer, form: Format) -> AsyncIterator[bytes]:
    for piece in form.render(answer.measured):
        yield piece.encode()
        await asyncio.sleep(0)  # a piece takes some milliseconds
