"""Between the generated protobuf classes and `messages`, with every bound checked on the way in.

Nothing that comes from the other side is trusted. What is too long, out of range or malformed
raises `ProtocolError`, which ends the stream. What is only unknown (a field or message of a newer
peer) is ignored, and a job with an unknown value becomes `UnknownJob`, to be refused.

In the modules of this package, `x_out` makes the protobuf message of a value, and `x_in` checks a
protobuf message and makes the value of it. A message of a new kind is a line in one of two tables.
"""

from collections.abc import Callable, Sequence
from typing import Any

from colotrace_proto import messages as m
from colotrace_proto.v1 import fleet_pb2 as pb

from .batches import Order, coordinator_batch, coordinator_batch_in
from .checks import fields_of, parsed
from .frames import frame_in, frame_out
from .hello import (
    capabilities_in,
    capabilities_out,
    heartbeat_in,
    heartbeat_out,
    hello_in,
    hello_out,
    welcome_in,
    welcome_out,
)
from .jobs import accepted_in, ack_in, ack_out, cancel_in, job_in, job_out, refused_in, refused_out

_Table = dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]]
"""For each class of messages: its field in the protobuf message, its encoder and its decoder."""


def _unchanged(kind: Callable[..., Any]) -> Callable[[Any], Any]:
    """An encoder into a protobuf message with the same fields."""
    return lambda message: kind(**fields_of(message))


_FROM_AGENT: _Table = {
    m.Hello: ("hello", hello_out, hello_in),
    m.Heartbeat: ("heartbeat", heartbeat_out, heartbeat_in),
    m.Draining: ("draining", _unchanged(pb.Draining), lambda _: m.Draining()),
    m.Accepted: ("accepted", _unchanged(pb.Accepted), accepted_in),
    m.Refused: ("refused", refused_out, refused_in),
    m.Frame: ("frame", frame_out, frame_in),
    m.Capabilities: ("capabilities", capabilities_out, capabilities_in),
}
_FROM_COORDINATOR: _Table = {
    m.Welcome: ("welcome", welcome_out, welcome_in),
    m.Heartbeat: ("heartbeat", lambda _: pb.Heartbeat(), lambda _: m.Heartbeat()),
    m.Job: ("job", job_out, job_in),
    m.Cancel: ("cancel", _unchanged(pb.Cancel), cancel_in),
    m.Ack: ("ack", ack_out, ack_in),
    m.Renamed: ("renamed", _unchanged(pb.Renamed), lambda _: m.Renamed()),
}
_AGENT_DECODERS = {field: decode for field, _, decode in _FROM_AGENT.values()}
_COORDINATOR_DECODERS = {field: decode for field, _, decode in _FROM_COORDINATOR.values()}


def encode_from_agent(message: m.FromAgent) -> pb.AgentMessage:
    """An agent's message, ready to be sent."""
    field, encode, _ = _FROM_AGENT[type(message)]
    return pb.AgentMessage(**{field: encode(message)})


def decode_from_agent(message: pb.AgentMessage) -> m.FromAgent | None:
    """An agent's message; None for one of a kind that is not known here.

    Raises:
        ProtocolError: a value is out of the bounds of `messages`.
    """
    field = message.WhichOneof("message")
    decode = _AGENT_DECODERS.get(field or "")
    return decode(getattr(message, field)) if decode and field else None


def parse_from_agent(payload: bytes) -> m.FromAgent | None:
    """An agent's message from its bytes; None for one of a kind that is not known here.

    Raises:
        ProtocolError: it is no message, or a value is out of the bounds of `messages`.
    """
    return decode_from_agent(parsed(pb.AgentMessage, payload))


def encode_from_coordinator(message: m.FromCoordinator) -> pb.CoordinatorMessage:
    """A coordinator's message, ready to be sent. An `UnknownJob` is only ever received."""
    field, encode, _ = _FROM_COORDINATOR[type(message)]
    return pb.CoordinatorMessage(**{field: encode(message)})


def encode_together(messages: Sequence[m.FromCoordinator]) -> pb.CoordinatorMessage:
    """One message with the given ones: the only one, or a batch of several `batches.Order`s."""
    if len(messages) == 1:
        return encode_from_coordinator(messages[0])
    return coordinator_batch(each for each in messages if isinstance(each, Order))


def decode_from_coordinator(message: pb.CoordinatorMessage) -> m.FromCoordinator | None:
    """A coordinator's message; None for one of a kind that is not known here.

    Raises:
        ProtocolError: a value is out of the bounds of `messages`.
    """
    field = message.WhichOneof("message")
    decode = _COORDINATOR_DECODERS.get(field or "")
    return decode(getattr(message, field)) if decode and field else None


def all_from_coordinator(message: pb.CoordinatorMessage) -> list[m.FromCoordinator]:
    """The messages of a coordinator's message, which may be a batch, without unknown kinds.

    Raises:
        ProtocolError: a value is out of the bounds of `messages`.
    """
    if message.HasField("batch"):
        return coordinator_batch_in(message.batch)
    decoded = decode_from_coordinator(message)
    return [] if decoded is None else [decoded]
