"""The bytes of each probe before a trace fills them in."""

from colotrace_proto.messages import Family, PacketType

from .scapy_built import BUILT

IPV4_HEADER = 20
IPV6_HEADER = 40


def template(packet_type: PacketType, family: Family) -> bytes:
    """A whole packet with addresses, ports, numbers and checksums zero.

    Raises:
        ValueError: there are no probes of that packet type.
    """
    built = BUILT.get((packet_type, family))
    if built is None:
        raise ValueError(f"no probes of type {packet_type}")
    return built
