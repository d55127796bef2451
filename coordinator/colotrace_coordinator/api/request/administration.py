"""Bodies of the requests of administration."""

import codecs
import re
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from colotrace_coordinator.api.errors import InvalidBodyError, MalformedJsonError, schema_fault
from colotrace_coordinator.store.enrolments import MAX_LIFETIME_S, MAX_USES

_AT = re.compile(r" - at `\$(.*)`$")

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body has no fields that are not known: one that is misspelled would be ignored."""


class AgentChange(_Body, frozen=True, kw_only=True):
    """What is to change of an agent; at least one field."""

    drained: bool | UnsetType = UNSET
    agent_id: Text | UnsetType = UNSET
    colo: Text | UnsetType = UNSET
    city: Text | UnsetType = UNSET


class ColoChange(_Body, frozen=True, kw_only=True):
    """What is to change of a colo; at least one field."""

    name: Text | UnsetType = UNSET
    city: Text | UnsetType = UNSET


class EnrolmentBody(_Body, frozen=True, kw_only=True):
    """The join token that is wanted. `address` is that of --join of a coordinator."""

    colo: Text
    city: Text
    uses: Annotated[int, msgspec.Meta(ge=1, le=MAX_USES)] = 1
    expires_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIFETIME_S)] = 3_600
    address: str = ""


B = TypeVar("B", AgentChange, ColoChange, EnrolmentBody)


def parse_body(body: bytes, kind: type[B]) -> B:
    """Decode and validate a body.

    Raises:
        MalformedJsonError: it is not JSON.
        InvalidBodyError: it does not match the schema, or changes nothing.
    """
    try:
        found = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8), type=kind)
    except msgspec.ValidationError as error:
        words = str(error)
        at = _AT.search(words)
        where = at[1].replace(".", "/") if at else ""
        raise InvalidBodyError([schema_fault(_AT.sub("", words), where)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJsonError from None
    if all(getattr(found, name) is UNSET for name in found.__struct_fields__):
        names = ", ".join(found.__struct_fields__)
        raise InvalidBodyError([schema_fault(f"The body must have one of {names}", "")])
    return found
