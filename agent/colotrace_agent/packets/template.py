"""IP headers, and the packets from which probes are made."""

from colotrace_proto.messages import Family, PacketType

from .scapy_built import BUILT

IPV4_HEADER = 20
IPV6_HEADER = 40
IP_HEADERS = {Family.IPV4: IPV4_HEADER, Family.IPV6: IPV6_HEADER}
"""Lengths of IP headers without options or extension headers."""


def template(packet_type: PacketType, family: Family) -> bytes:
    """A packet with addresses, ports, numbers and checksums zero.

    Raises:
        ValueError: probes of this packet type cannot be built.
    """
    built = BUILT.get((packet_type, family))
    if built is None:
        raise ValueError(f"no probes of type {packet_type}")
    return built


def ipv4_payload(packet: bytes, protocol: int) -> int | None:
    """The offset of the payload in a whole IPv4 packet of that protocol; None: not such a
    packet."""
    if len(packet) < IPV4_HEADER or packet[0] >> 4 != 4 or packet[9] != protocol:
        return None
    start = (packet[0] & 0x0F) * 4
    return start if IPV4_HEADER <= start <= len(packet) else None
