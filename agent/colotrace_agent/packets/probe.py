"""A flow's packets: what is the same in all of them is written once, when the flow begins."""

from abc import ABC, abstractmethod

from colotrace_proto.messages import Family

from colotrace_agent.model import Flow

from .checksum import ones_sum, pseudo_header
from .template import IPV4_HEADER, IPV6_HEADER, template

_V4_ID, _V4_TTL, _V4_SOURCE, _V4_TARGET = 4, 8, 12, 16
_V6_HOP_LIMIT, _V6_SOURCE, _V6_TARGET = 7, 8, 24


class Writer(ABC):
    """Writes the probes of one flow.

    The IPv4 header checksum stays 0: the kernel fills it in whatever is written there (raw(7)).
    """

    def __init__(self, flow: Flow, *, protocol: int) -> None:
        self.flow = flow
        packet = bytearray(template(flow.packet_type, flow.family))
        self._ipv4 = flow.family is Family.IPV4
        if self._ipv4:
            packet[_V4_SOURCE : _V4_SOURCE + 4] = flow.source
            packet[_V4_TARGET : _V4_TARGET + 4] = flow.target
            self.transport = IPV4_HEADER
        else:
            packet[_V6_SOURCE : _V6_SOURCE + 16] = flow.source
            packet[_V6_TARGET : _V6_TARGET + 16] = flow.target
            self.transport = IPV6_HEADER
        self.write_flow(packet)
        self._packet = packet
        length = len(packet) - self.transport
        pseudo = pseudo_header(flow.source, flow.target, protocol=protocol, length=length)
        self.fixed_sum = ones_sum(memoryview(packet)[self.transport :])
        """The sum over the transport's part, everything but a probe's own fields."""
        self.pseudo_sum = ones_sum(pseudo)

    def write(self, ordinal: int, ttl: int) -> bytearray:
        """The whole packet of the flow's probe `ordinal`, with that TTL."""
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
        """Fills in what all probes of the flow share beyond addresses."""

    @abstractmethod
    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        """Fills in the probe's own number and the checksum."""
