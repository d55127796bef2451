"""Decodes a reply into rows, or into an error message with a remedy.

Only the fields that are used are checked; unknown fields are ignored.
"""

import re
from typing import TypeVar

import msgspec
from colotrace_proto import rows
from colotrace_proto.codes import Code
from colotrace_proto.text import safe

from .client import Reply
from .errors import RequestError

_T = TypeVar("_T")
_MOST_ERRORS = 20
_ROW = re.compile(r"/result/(\d{1,4})/colos/(\d{1,4})(?:/|$)")


class Source(msgspec.Struct, frozen=True):
    """The subject of a message, as a JSON pointer."""

    pointer: str = ""


class Message(msgspec.Struct, frozen=True):
    """An element of the envelope's `errors` or `messages`."""

    code: int
    message: str
    source: Source | None = None
    error_chain: list["Message"] = []

    @property
    def row(self) -> tuple[int, int] | None:
        """Indices of target and colo, if the message is about a row of the result; else None."""
        found = _ROW.match(self.source.pointer) if self.source else None
        return (int(found[1]), int(found[2])) if found else None

    def in_words(self) -> str:
        """Code and message, with the pointer if that is not a row of the result."""
        text = f"{self.code} {safe(self.message, most=500)}"
        if self.source and self.source.pointer and self.row is None:
            text += f" (at {safe(self.source.pointer)})"
        return text


class Envelope(msgspec.Struct, frozen=True):
    """The envelope of all bodies of the API."""

    success: bool
    errors: list[Message] = []
    messages: list[Message] = []
    result: msgspec.Raw = msgspec.Raw(b"null")


class ColoState(msgspec.Struct, frozen=True):
    """State of a colo at the coordinator."""

    name: str
    city: str = ""
    state: str = ""
    agents: int = 0
    families: list[str] = []
    packet_types: list[str] = []


class Answer(msgspec.Struct, frozen=True):
    """The rows and messages of a traceroute."""

    rows: list[rows.TargetRow]
    messages: list[Message]


def trace_answer(reply: Reply) -> Answer:
    """The rows of a traceroute.

    Raises:
        RequestError: the reply is an error, or not a valid answer of the API.
    """
    envelope = _successful(reply)
    return Answer(_result(reply, envelope, list[rows.TargetRow]), envelope.messages)


def colos_answer(reply: Reply) -> list[ColoState]:
    """The colos that the coordinator knows.

    Raises:
        RequestError: the reply is an error, or not a valid answer of the API.
    """
    return _result(reply, _successful(reply), list[ColoState])


def _successful(reply: Reply) -> Envelope:
    envelope = _envelope(reply)
    if reply.status == 200 and envelope is not None and envelope.success:
        return envelope
    if envelope is None:
        raise RequestError(_not_ours(reply))
    lines = [f"the coordinator answered {reply.status}"]
    for error in envelope.errors[:_MOST_ERRORS]:
        lines.append(f"  {error.in_words()}")
        lines += [f"    {cause.in_words()}" for cause in error.error_chain[:_MOST_ERRORS]]
    if len(envelope.errors) > _MOST_ERRORS:
        lines.append(f"  … and {len(envelope.errors) - _MOST_ERRORS} more")
    lines.append(f"  {_remedy(reply, envelope)}")
    raise RequestError("\n".join(lines), body=reply.body)


def _envelope(reply: Reply) -> Envelope | None:
    try:
        return msgspec.json.decode(reply.body, type=Envelope)
    # RecursionError: deep nesting. ValueError: among others, text that is not UTF-8.
    except (ValueError, RecursionError):
        return None


def _result(reply: Reply, envelope: Envelope, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(envelope.result, type=kind)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"the answer does not have the API's format ({safe(str(error))}); check that "
            "COLOTRACE_URL is a coordinator's, and that its version is close to this program's",
            body=reply.body,
        ) from error


def _not_ours(reply: Reply) -> str:
    kind = reply.header("content-type", most=60) or "no content type"
    if 300 <= reply.status < 400:
        return (
            f"the address answered with a redirect ({reply.status}) to "
            f"{reply.header('location') or 'nowhere'}; set COLOTRACE_URL to the coordinator itself"
        )
    if reply.status == 200:
        return (
            f"the answer is not from the API ({kind}, {len(reply.body)} bytes); "
            "check that COLOTRACE_URL is a coordinator's address"
        )
    return (
        f"HTTP {reply.status} without the API's envelope ({kind}); "
        "check COLOTRACE_URL, and any proxy between here and the coordinator"
    )


def _remedy(reply: Reply, envelope: Envelope) -> str:
    codes = {error.code for error in envelope.errors}
    match reply.status:
        case 400 if Code.UNKNOWN_COLO in codes:
            return "see the known colos with: colotrace colos"
        case 400 if codes & {Code.BAD_HEADERS, Code.NO_CREDENTIALS}:
            return "check COLOTRACE_TOKEN"
        case 401:
            return "check COLOTRACE_TOKEN: it is unknown, revoked or expired"
        case 403:
            return "check COLOTRACE_ACCOUNT, and that the token may trace for it"
        case 404 | 405:
            return "check COLOTRACE_URL and COLOTRACE_ACCOUNT"
        case 413:
            return "ask for fewer targets or colos at once"
        case 429:
            return f"wait {reply.header('retry-after', most=20) or 'a few'} s and try again"
        case status if status >= 500:
            request = reply.header("cf-ray", most=80)
            request = f" (request {request})" if request else ""
            return f"see the coordinator's log{request}, then try again"
        case _:
            return "correct the request and try again"
