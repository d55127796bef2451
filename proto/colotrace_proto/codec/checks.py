"""Checks of single fields, and the enumerations that several messages have."""

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import DecodeError

from colotrace_proto import messages as m
from colotrace_proto.identifiers import is_identifier
from colotrace_proto.v1 import fleet_pb2 as pb

PACKET_TYPES = {kind: pb.PacketType.Value(f"PACKET_TYPE_{kind.name}") for kind in m.PacketType}
PACKET_TYPES_IN: dict[int, m.PacketType] = {wire: own for own, wire in PACKET_TYPES.items()}
_MAX_FAMILIES = 16

_E = TypeVar("_E", m.NodeKind, m.RefusalReason, m.Failure)
_M = TypeVar("_M", pb.AgentMessage, pb.CoordinatorMessage, pb.Presence, pb.Node)


class ProtocolError(Exception):
    """A message of the peer violates the protocol."""


def fields_of(record: msgspec.Struct, **converted: object) -> dict[str, Any]:
    """The record's fields by name, for the protobuf message with the same fields; `converted`
    replaces some, or adds to them."""
    return {name: getattr(record, name) for name in record.__struct_fields__} | converted


def parsed(kind: type[_M], payload: bytes) -> _M:
    """The protobuf message of these bytes."""
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise ProtocolError(str(error)) from error


def families_in(numbers: Collection[int], where: str) -> frozenset[m.Family]:
    """The families among these numbers; unknown ones are ignored."""
    if len(numbers) > _MAX_FAMILIES:
        raise ProtocolError(f"{where} names too many families")
    return frozenset(family for family in m.Family if family in numbers)


def job_id(text: str) -> m.JobId:
    """The text as a job's id."""
    if not is_identifier(text):
        raise ProtocolError("job_id is not 1 to 64 of [A-Za-z0-9._-]")
    return m.JobId(text)


def known(kind: type[_E], number: int) -> _E:
    """The member with that number; the zero member if there is none."""
    try:
        return kind(number)
    except ValueError:
        return kind(0)


def within(column: Collection[int], low: int, high: int) -> bool:
    """Whether all numbers are from `low` to `high`."""
    return low <= min(column, default=low) and max(column, default=high) <= high


def are_addresses(values: Iterable[bytes]) -> bool:
    """Whether all are packed addresses."""
    return all(len(value) in (4, 16) for value in values)
