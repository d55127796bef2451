"""ICMP and ICMPv6 echo requests.

A probe's number is the sequence; the flow's is the identifier. Both lie in the first 8 bytes,
which every router quotes (RFC 792, RFC 4443), and the target echoes them, payload and all. Load
balancers hash the first words of an ICMP message, checksum included, so that is kept the same for
all probes of a flow: the steering in the payload takes up what sequence and tag change.
"""

import struct

from colotrace_proto.messages import Family

from colotrace_agent.engine.matching import echo_steering, number_of
from colotrace_agent.model import Flow

from .checksum import checksum
from .probe import Writer

PROTOCOL = 1
PROTOCOL_V6 = 58

_FIELDS = struct.Struct("!HH8s")
_CHECKSUM, _IDENTIFIER, _SEQUENCE = 2, 4, 6


class IcmpWriter(Writer):
    """Writes echo requests."""

    def __init__(self, flow: Flow) -> None:
        self._v6 = flow.family is Family.IPV6
        super().__init__(flow, protocol=PROTOCOL_V6 if self._v6 else PROTOCOL)
        # ICMP has no pseudo header, ICMPv6 has.
        total = self.fixed_sum + (self.pseudo_sum if self._v6 else 0) + flow.first_number
        struct.pack_into("!H", self._packet, self.transport + _CHECKSUM, checksum(total))

    def write_flow(self, packet: bytearray) -> None:
        struct.pack_into("!H", packet, self.transport + _IDENTIFIER, self.flow.identifier)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        sequence, tag = number_of(self.flow, ordinal), self.flow.marks.tag(ordinal)
        steering = echo_steering(self.flow, ordinal)
        _FIELDS.pack_into(packet, self.transport + _SEQUENCE, sequence, steering, tag)
