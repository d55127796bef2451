"""Flows for tests, with keyed fields as the allocator draws them."""

from colotrace_agent.marks import Marks
from colotrace_agent.model import Flow
from colotrace_proto.messages import MAX_PROBES, PacketType

SECRET = bytes(range(32))
SOURCE, TARGET, ROUTER = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9]), bytes([198, 18, 1, 1])


def marks(context: bytes = b"", *, probes: int = MAX_PROBES) -> Marks:
    """Keyed fields of a flow."""
    return Marks.draw(SECRET, context, probes=probes)


def flow(
    packet_type: PacketType,
    *,
    source: bytes = SOURCE,
    target: bytes = TARGET,
    identifier: int = 20_001,
    first_number: int = 4_000,
    context: bytes = b"",
) -> Flow:
    """A flow to the target."""
    port = 33_434 if packet_type in (PacketType.UDP, PacketType.TCP) else 0
    return Flow(packet_type, source, target, identifier, port, first_number, marks(context))
