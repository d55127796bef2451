"""Validates a request's body: its schema, bounds and defaults. All faults are reported together.

Lengths are checked before elements, and the number of reported faults is bounded. So a body with
thirty thousand faults costs little more than decoding it.
"""

import codecs
from itertools import islice
from typing import Annotated, Any

import msgspec
from colotrace_proto.measured import Options
from colotrace_proto.messages import MAX_PACKETS_PER_TTL, MAX_TTL, Family, PacketType
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from colotrace_coordinator.api.envelope import pointer
from colotrace_coordinator.api.errors import (
    MAX_ERRORS,
    InvalidBodyError,
    MalformedJsonError,
    schema_fault,
)
from colotrace_coordinator.model import Message

from .targets import fault as target_fault

MAX_TARGETS = 10
MAX_WAIT_S = 5
MAX_PORT = 65_535

_DEFAULT = Options()
_WAIT_S = _DEFAULT.wait_ms // 1_000


def _target(value: str) -> str:
    if (words := target_fault(value)) is not None:
        raise PydanticCustomError("target", "{words}", {"words": words})
    return value


def _packet_type(value: object) -> object:
    if value is None or value == "":
        return _DEFAULT.packet_type
    try:
        return PacketType(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _family(value: object) -> Family | None:
    """0 and null mean that the agents choose."""
    if value is None or (type(value) in (int, float) and value == 0):
        return None
    # An integer may be written as 4.0, see `_or`.
    for family in Family:
        if type(value) in (int, float) and value == family:
            return family
    raise PydanticCustomError("family", "{words}", {"words": "must be 4 or 6"})


def _or(default: int) -> BeforeValidator:
    """0 and null mean the default: old clients send unset options as 0."""

    def fill(value: object) -> object:
        # An integer may be written as 15.0 (JSON Schema 2020-12, section 4.2.3).
        if type(value) is float and value.is_integer():
            value = int(value)
        return default if value is None or (type(value) is int and value == 0) else value

    return BeforeValidator(fill)


def _null_is(value: object) -> BeforeValidator:
    """null means absent."""
    return BeforeValidator(lambda given: value if given is None else given)


class _Options(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    max_ttl: Annotated[int, Field(ge=0, le=MAX_TTL), _or(_DEFAULT.max_ttl)] = _DEFAULT.max_ttl
    packet_type: Annotated[PacketType, BeforeValidator(_packet_type)] = _DEFAULT.packet_type
    packets_per_ttl: Annotated[
        int, Field(ge=0, le=MAX_PACKETS_PER_TTL), _or(_DEFAULT.packets_per_ttl)
    ] = _DEFAULT.packets_per_ttl
    port: Annotated[int, Field(ge=0, le=MAX_PORT), _or(0)] = 0
    wait_time: Annotated[int, Field(ge=1, le=MAX_WAIT_S), _or(_WAIT_S)] = _WAIT_S
    multipath: Annotated[bool, _null_is(_DEFAULT.multipath)] = _DEFAULT.multipath
    family: Annotated[Family | None, BeforeValidator(_family)] = _DEFAULT.family

    def plain(self) -> Options:
        return Options(
            packet_type=self.packet_type,
            max_ttl=self.max_ttl,
            packets_per_ttl=self.packets_per_ttl,
            wait_ms=self.wait_time * 1_000,
            port=self.port,
            multipath=self.multipath,
            family=self.family,
        )


class TracerouteBody(BaseModel):
    """A valid body; `colos` are as the client wrote them."""

    model_config = ConfigDict(strict=True, extra="ignore")

    targets: list[Annotated[str, AfterValidator(_target)]]
    colos: Annotated[list[str], _null_is([])] = []
    options: Annotated[_Options, _null_is({})] = _Options()


def parse(body: bytes) -> TracerouteBody:
    """Decode and validate the body.

    Raises:
        MalformedJsonError: it is not JSON (RFC 8259: no NaN, UTF-8; a byte order mark is ignored).
        InvalidBodyError: it does not match the schema; it has the faults, up to a bound.
    """
    try:
        value = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJsonError from None
    value, faults = pruned(value)
    try:
        request = TracerouteBody.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=False)
        faults += [_fault(detail) for detail in details]
    if faults:
        raise InvalidBodyError(faults)
    return request


def pruned(value: Any) -> tuple[object, list[Message]]:
    """The part of the body that the model has to validate, and the faults found before.

    The elements of a list that is too long are removed, and so are unknown keys. Elements after the
    last fault that an answer can report are removed as well.
    """
    if not isinstance(value, dict):
        return value, []
    kept = {name: value[name] for name in TracerouteBody.model_fields if name in value}
    faults = []
    targets, colos, options = (kept.get(name) for name in ("targets", "colos", "options"))
    if isinstance(targets, list) and not 1 <= len(targets) <= MAX_TARGETS:
        faults.append(schema_fault(f"targets must have 1 to {MAX_TARGETS} elements", "/targets"))
        kept["targets"] = []
    if isinstance(colos, list):
        wrong = (n for n, colo in enumerate(colos) if not isinstance(colo, str))
        last = list(islice(wrong, MAX_ERRORS))[-1:]
        if last:
            kept["colos"] = colos[: last[0] + 1]
    if isinstance(options, dict):
        known = {name: options[name] for name in _Options.model_fields if name in options}
        kept["options"] = known
    return kept, faults


def _fault(detail: ErrorDetails) -> Message:
    path = detail["loc"]
    name = ".".join(str(part) for part in path if not isinstance(part, int)) or "The body"
    if path and isinstance(path[-1], int):
        name = f"{name}[{path[-1]}]"
    return schema_fault(f"{name} {_words(detail)}", pointer(path))


def _words(detail: ErrorDetails) -> str:
    bounds = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "is required"
        case "target" | "family":
            return str(bounds["words"])
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object"
        case "list_type":
            return "must be an array of strings"
        case "string_type":
            return "must be a string"
        case "string_unicode":
            return "must be Unicode text"
        case "int_type" | "int_from_float" | "int_parsing" | "int_parsing_size":
            return "must be an integer"
        case "bool_type":
            return "must be true or false"
        case "greater_than_equal":
            return f"must be at least {bounds['ge']}"
        case "less_than_equal":
            return f"must be at most {bounds['le']}"
        case "is_instance_of" | "enum":
            return "must be one of " + ", ".join(kind.value for kind in PacketType)
        case _:
            return "is not valid"
