"""Writes the packets of one flow. The fields that they share are written once."""

from abc import ABC, abstractmethod

from colotrace_proto.messages import Family

from colotrace_agent.model import Flow, Ordinal, Ttl

from .checksum import ones_sum, pseudo_header
from .template import IP_HEADERS, template

_V4_ID, _V4_TTL = 4, 8
_V6_HOP_LIMIT = 7


def write_addresses(packet: bytearray, flow: Flow, *, end: int) -> None:
    """Writes the flow's addresses into an IP header: its last fields in both families. `end` is the
    offset of the header's end."""
    addresses = flow.source + flow.target
    packet[end - len(addresses) : end] = addresses


class Writer(ABC):
    """Writes the probes of one flow.

    The IPv4 header checksum stays 0: the kernel fills it in (raw(7)).
    """

    def __init__(self, flow: Flow, protocol: int) -> None:
        self.flow = flow
        packet = bytearray(template(flow.packet_type, flow.family))
        self._ipv4 = flow.family is Family.IPV4
        self.transport = IP_HEADERS[flow.family]
        write_addresses(packet, flow, end=self.transport)
        self.write_flow(packet)
        self._packet = packet
        length = len(packet) - self.transport
        pseudo = pseudo_header(flow.source, flow.target, protocol=protocol, length=length)
        self.fixed_sum = ones_sum(memoryview(packet)[self.transport :])
        """Ones' complement sum from the transport header on, without a probe's own fields."""
        self.pseudo_sum = ones_sum(pseudo)

    def write(self, ordinal: Ordinal, ttl: Ttl) -> bytearray:
        """The packet of the flow's probe `ordinal`, with this TTL."""
        packet = self._packet.copy()
        if self._ipv4:
            packet[_V4_ID : _V4_ID + 2] = self.flow.marks.ip_ids[ordinal].to_bytes(2, "big")
            packet[_V4_TTL] = ttl
        else:
            packet[_V6_HOP_LIMIT] = ttl
        self.write_probe(packet, ordinal)
        return packet

    @abstractmethod
    def write_flow(self, packet: bytearray) -> None:
        """Writes the fields that all probes of the flow share, except for the addresses."""

    @abstractmethod
    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        """Writes the probe's number, tag and checksum."""
