"""Encoding of the messages published at a broker, with a bound on their size."""

from typing import TypeVar

from . import codec
from . import messages as m
from .codec.checks import ProtocolError, parsed
from .v1 import fleet_pb2 as pb

MAX_PUBLISHED = 16_384
"""Greatest size of a message, in bytes."""

_M = TypeVar("_M", pb.Presence, pb.CoordinatorMessage)


def encode_presence(presence: m.Presence) -> bytes:
    """Encode an agent's presence."""
    message = pb.Presence(
        hello=codec.encode_from_agent(presence.hello).hello,
        draining=presence.draining,
        started_ms=presence.started_ms,
        heartbeat=codec.encode_from_agent(presence.heartbeat).heartbeat,
    )
    return message.SerializeToString()


def decode_presence(payload: bytes) -> m.Presence:
    """Decode an agent's presence.

    Raises:
        ProtocolError: the payload is invalid, or a value exceeds the bounds of `messages`.
    """
    presence = _parsed(pb.Presence, payload)
    hello = codec.decode_from_agent(pb.AgentMessage(hello=presence.hello))
    heartbeat = codec.decode_from_agent(pb.AgentMessage(heartbeat=presence.heartbeat))
    if not isinstance(hello, m.Hello) or not isinstance(heartbeat, m.Heartbeat):
        raise ProtocolError("Presence is without its Hello or Heartbeat")
    return m.Presence(
        hello=hello,
        started_ms=presence.started_ms,
        draining=presence.draining,
        heartbeat=heartbeat,
    )


def encode_published(message: m.Job | m.Cancel) -> bytes:
    """Encode a message from a coordinator to agents."""
    return codec.encode_from_coordinator(message).SerializeToString()


def decode_published(payload: bytes) -> m.Job | m.UnknownJob | m.Cancel | None:
    """Decode a message from a coordinator; None for a message type that this version does not know.

    Raises:
        ProtocolError: this message may not be published, or a value is out of bounds.
    """
    message = codec.decode_from_coordinator(_parsed(pb.CoordinatorMessage, payload))
    if message is None or isinstance(message, m.Job | m.UnknownJob | m.Cancel):
        return message
    raise ProtocolError(f"{type(message).__name__} does not come by a broker")


def _parsed(kind: type[_M], payload: bytes) -> _M:
    if len(payload) > MAX_PUBLISHED:
        raise ProtocolError(f"longer than {MAX_PUBLISHED:,} bytes")
    return parsed(kind, payload)
