"""Encoding of the messages published at a broker, with a bound on their size."""

from typing import TypeVar

from . import codec
from . import messages as m
from .codec.checks import ProtocolError, fields_of, parsed
from .codec.hello import heartbeat_in, heartbeat_out, hello_in, hello_out
from .v1 import fleet_pb2 as pb

MAX_PUBLISHED = 16_384
"""Greatest size of a message, in bytes."""

_M = TypeVar("_M", pb.Presence, pb.CoordinatorMessage)


def encode_presence(presence: m.Presence) -> bytes:
    """Encode an agent's presence."""
    hello, heartbeat = hello_out(presence.hello), heartbeat_out(presence.heartbeat)
    message = pb.Presence(**fields_of(presence, hello=hello, heartbeat=heartbeat))
    return message.SerializeToString()


def decode_presence(payload: bytes) -> m.Presence:
    """Decode an agent's presence.

    Raises:
        ProtocolError: the payload is invalid, or a value exceeds the bounds of `messages`.
    """
    presence = _parsed(pb.Presence, payload)
    return m.Presence(
        hello=hello_in(presence.hello),
        started_ms=presence.started_ms,
        draining=presence.draining,
        heartbeat=heartbeat_in(presence.heartbeat),
    )


def encode_published(message: m.Job | m.Cancel | m.Renamed) -> bytes:
    """Encode a message from a coordinator to agents."""
    return codec.encode_from_coordinator(message).SerializeToString()


def decode_published(payload: bytes) -> m.Job | m.UnknownJob | m.Cancel | m.Renamed | None:
    """Decode a message from a coordinator; None for a message type that this version does not know.

    Raises:
        ProtocolError: this message may not be published, or a value is out of bounds.
    """
    message = codec.decode_from_coordinator(_parsed(pb.CoordinatorMessage, payload))
    if message is None or isinstance(message, m.Job | m.UnknownJob | m.Cancel | m.Renamed):
        return message
    raise ProtocolError(f"{type(message).__name__} does not come by a broker")


def _parsed(kind: type[_M], payload: bytes) -> _M:
    if len(payload) > MAX_PUBLISHED:
        raise ProtocolError(f"longer than {MAX_PUBLISHED:,} bytes")
    return parsed(kind, payload)
