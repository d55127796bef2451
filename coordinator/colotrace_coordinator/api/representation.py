"""How an answer is represented: which form the client wants, and the response in it."""

from collections.abc import Mapping
from contextlib import ExitStack

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.model import Answer

from .large import json_pieces, respond


async def represent(
    answer: Answer,
    *,
    request: Request,
    headers: Mapping[str, str],
    until_sent: ExitStack,
    info: object = UNSET,
) -> Response:
    """The answer as the client wants it."""
    accepted = request.headers.get("accept-encoding", "")
    pieces = json_pieces(answer, info=info)
    return await respond(pieces, accepted=accepted, until_sent=until_sent, headers=headers)
