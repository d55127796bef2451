"""Decodes a reply into a result, or into an error message with a remedy.

Only the fields that are used are checked; unknown fields are ignored.
"""

import re
from typing import TypeVar

import msgspec
from colotrace_proto import rows
from colotrace_proto.codes import Code
from colotrace_proto.text import safe

from colotrace_cli.errors import RequestError

from .client import Reply
from .shapes import Answer, ColoState, Measurement, Message, PageInfo

_T = TypeVar("_T")
_MOST_ERRORS = 20
_COLO = re.compile(r"/colos/(\d{1,6})$")


class _Envelope(msgspec.Struct, frozen=True):
    """The envelope of all bodies of the API."""

    success: bool
    errors: list[Message] = []
    messages: list[Message] = []
    result: msgspec.Raw = msgspec.Raw(b"null")
    result_info: msgspec.Raw = msgspec.Raw(b"null")


def trace_answer(reply: Reply) -> Answer:
    """The rows of a measurement.

    Raises:
        RequestError: the reply is an error, or not a valid answer of the API.
    """
    envelope = _successful(reply)
    found = _decoded(reply, envelope.result, list[rows.TargetRow])
    kept = _info(reply, envelope, Measurement)
    return Answer(found, envelope.messages, kept)


def colos_answer(reply: Reply) -> list[ColoState]:
    """The colos that the coordinator knows.

    Raises:
        RequestError: as `trace_answer`.
    """
    return result_answer(reply, list[ColoState])


def measurements_answer(reply: Reply) -> tuple[list[Measurement], str | None]:
    """A page of measurements, and the cursor of the next page.

    Raises:
        RequestError: as `trace_answer`.
    """
    envelope = _successful(reply)
    page = _info(reply, envelope, PageInfo)
    return _decoded(reply, envelope.result, list[Measurement]), page.cursor if page else None


def measurement_answer(reply: Reply) -> Measurement:
    """A measurement without its rows: of a cancelled one, or one that began asynchronously.

    Raises:
        RequestError: as `trace_answer`.
    """
    envelope = _successful(reply)
    of_result = bytes(envelope.result).lstrip()[:1] == b"{"
    return _decoded(reply, envelope.result if of_result else envelope.result_info, Measurement)


def result_answer(reply: Reply, kind: type[_T]) -> _T:
    """The result as this type.

    Raises:
        RequestError: as `trace_answer`.
    """
    return _decoded(reply, _successful(reply).result, kind)


def succeed(reply: Reply) -> None:
    """Raise if the reply, in whatever format, is an error.

    Raises:
        RequestError: the reply is an error.
    """
    if reply.status != 200:
        _successful(reply)


def _successful(reply: Reply) -> _Envelope:
    envelope = _envelope(reply)
    if reply.status in (200, 202) and envelope is not None and envelope.success:
        return envelope
    if envelope is None:
        raise RequestError(_not_ours(reply), status=reply.status)
    lines = [f"the coordinator answered {reply.status}"]
    for error in envelope.errors[:_MOST_ERRORS]:
        lines.append(f"  {error.in_words()}")
        lines += [f"    {cause.in_words()}" for cause in error.error_chain[:_MOST_ERRORS]]
    if len(envelope.errors) > _MOST_ERRORS:
        lines.append(f"  … and {len(envelope.errors) - _MOST_ERRORS} more")
    lines.append(f"  {_remedy(reply, envelope)}")
    raise RequestError(
        "\n".join(lines),
        body=reply.body,
        status=reply.status,
        unknown_colos=_unknown_colos(envelope),
    )


def _unknown_colos(envelope: _Envelope) -> list[int]:
    pointers = [
        error.source.pointer
        for error in envelope.errors
        if error.code == Code.UNKNOWN_COLO and error.source
    ]
    return [int(found[1]) for found in map(_COLO.match, pointers) if found]


def _envelope(reply: Reply) -> _Envelope | None:
    try:
        return msgspec.json.decode(reply.body, type=_Envelope)
    # RecursionError: deep nesting. ValueError: among others, text that is not UTF-8.
    except (ValueError, RecursionError):
        return None


def _info(reply: Reply, envelope: _Envelope, kind: type[_T]) -> _T | None:
    """`result_info`; None if there is none."""
    content = envelope.result_info
    return None if bytes(content) == b"null" else _decoded(reply, content, kind)


def _decoded(reply: Reply, content: msgspec.Raw, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"the answer does not have the API's format ({safe(str(error))}); check that "
            "COLOTRACE_URL is a coordinator's, and that its version is close to this program's",
            body=reply.body,
            status=reply.status,
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


def _remedy(reply: Reply, envelope: _Envelope) -> str:
    codes = {error.code for error in envelope.errors}
    causes = {cause.code for error in envelope.errors for cause in error.error_chain}
    match reply.status:
        case 400 if Code.UNKNOWN_COLO in codes:
            return "see the known colos with: colotrace colos"
        case 400 if codes & {Code.BAD_HEADERS, Code.NO_CREDENTIALS}:
            return "check COLOTRACE_TOKEN"
        case 401 if {Code.EXPIRED_TOKEN, Code.REVOKED_TOKEN} & causes:
            return (
                "set COLOTRACE_TOKEN to a new token; an operator makes one with: "
                "colotrace-coordinator token create"
            )
        case 401:
            return "check COLOTRACE_TOKEN: it is unknown, revoked or expired"
        case 403:
            return "check COLOTRACE_ACCOUNT, and that the token may trace for it"
        case 404 if Code.NO_MEASUREMENT in codes:
            return "see those that it has with: colotrace list"
        case 404 | 405:
            return (
                "check COLOTRACE_URL and COLOTRACE_ACCOUNT; a coordinator of an older release "
                "lacks some commands"
            )
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
