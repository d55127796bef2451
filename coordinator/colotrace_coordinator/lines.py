"""Errors and messages as the API writes them. The order of the fields is their order in JSON."""

import msgspec
from msgspec import UNSET, UnsetType

from .model import Message


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


def line(message: Message) -> Line:
    """The line of the envelope for a message of the coordinator."""
    source = UNSET if message.pointer is None else Source(message.pointer)
    return Line(code=message.code, message=message.message, source=source)
