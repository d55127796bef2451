"""Between the generated protobuf classes and `messages`, with every bound checked on the way in.

Nothing that comes from the other side is trusted. What is too long, out of range or malformed
raises `ProtocolError`, which ends the stream. What is only unknown (a field or message of a newer
peer) is ignored, and a job with an unknown value becomes `UnknownJob`, to be refused.

In the modules of this package, `x_out` makes the protobuf message of a value, and `x_in` checks a
protobuf message and makes the value of it.
"""

from typing import assert_never

from google.protobuf.message import DecodeError

from colotrace_proto import messages as m
from colotrace_proto.v1 import fleet_pb2 as pb

from .checks import ProtocolError, families_in, families_out, job_id
from .frames import frame_in, frame_out
from .hello import heartbeat_in, heartbeat_out, hello_in, hello_out, welcome_in, welcome_out
from .jobs import ack_in, ack_out, job_in, job_out, refused_in, refused_out


def encode_from_agent(message: m.FromAgent) -> pb.AgentMessage:
    """An agent's message, ready to be sent."""
    match message:
        case m.Hello():
            return pb.AgentMessage(hello=hello_out(message))
        case m.Heartbeat():
            return pb.AgentMessage(heartbeat=heartbeat_out(message))
        case m.Draining():
            return pb.AgentMessage(draining=pb.Draining())
        case m.Accepted():
            return pb.AgentMessage(accepted=pb.Accepted(job_id=message.job_id))
        case m.Refused():
            return pb.AgentMessage(refused=refused_out(message))
        case m.Frame():
            return pb.AgentMessage(frame=frame_out(message))
        case m.Capabilities():
            families = families_out(message.families)
            return pb.AgentMessage(capabilities=pb.Capabilities(families=families))
        case _:
            assert_never(message)


def decode_from_agent(message: pb.AgentMessage) -> m.FromAgent | None:
    """An agent's message; None for one of a kind that is not known here.

    Raises:
        ProtocolError: a value is out of the bounds of `messages`.
    """
    match message.WhichOneof("message"):
        case "hello":
            return hello_in(message.hello)
        case "heartbeat":
            return heartbeat_in(message.heartbeat)
        case "draining":
            return m.Draining()
        case "accepted":
            return m.Accepted(job_id(message.accepted.job_id))
        case "refused":
            return refused_in(message.refused)
        case "frame":
            return frame_in(message.frame)
        case "capabilities":
            return m.Capabilities(families_in(message.capabilities.families, "Capabilities"))
        case _:
            return None


def parse_from_agent(payload: bytes) -> m.FromAgent | None:
    """An agent's message from its bytes; None for one of a kind that is not known here.

    Raises:
        ProtocolError: it is no message, or a value is out of the bounds of `messages`.
    """
    try:
        message = pb.AgentMessage.FromString(payload)
    except DecodeError as error:
        raise ProtocolError(str(error)) from error
    return decode_from_agent(message)


def encode_from_coordinator(message: m.FromCoordinator) -> pb.CoordinatorMessage:
    """A coordinator's message, ready to be sent."""
    match message:
        case m.Welcome():
            return pb.CoordinatorMessage(welcome=welcome_out(message))
        case m.Heartbeat():
            return pb.CoordinatorMessage(heartbeat=pb.Heartbeat())
        case m.Job():
            return pb.CoordinatorMessage(job=job_out(message))
        case m.UnknownJob():
            raise ValueError("an unknown job is only ever received")
        case m.Cancel():
            return pb.CoordinatorMessage(cancel=pb.Cancel(job_id=message.job_id))
        case m.Ack():
            return pb.CoordinatorMessage(ack=ack_out(message))
        case _:
            assert_never(message)


def decode_from_coordinator(message: pb.CoordinatorMessage) -> m.FromCoordinator | None:
    """A coordinator's message; None for one of a kind that is not known here.

    Raises:
        ProtocolError: a value is out of the bounds of `messages`.
    """
    match message.WhichOneof("message"):
        case "welcome":
            return welcome_in(message.welcome)
        case "heartbeat":
            return m.Heartbeat()
        case "job":
            return job_in(message.job)
        case "cancel":
            return m.Cancel(job_id(message.cancel.job_id))
        case "ack":
            return ack_in(message.ack)
        case _:
            return None
